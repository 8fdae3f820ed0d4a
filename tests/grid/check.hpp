// One cell of the grid: a random problem of a recurrence in a format, forward and backward against
// the oracle in some modes, and the lists that the grids draw from.
#pragma once

#include "../support/compare.hpp"
#include "../support/run.hpp"

namespace grid {

using namespace support;

inline const std::vector<mode> all_modes{
    {mode::recurrent, 0}, {mode::scan, 0},      {mode::scan, 4},      {mode::chunked, 0},
    {mode::chunked, 1},   {mode::chunked, 2},   {mode::chunked, 16},  {mode::chunked, 19},
    {mode::chunked, 64},  {mode::chunked, 300}, {mode::attention, 0},
};
inline const std::vector<mode> few_modes{
    {mode::recurrent, 0}, {mode::scan, 3}, {mode::chunked, 5}, {mode::attention, 0}};

inline const std::vector<gates> all_gates{gates::mild,   gates::near_one, gates::one,
                                          gates::strong, gates::resets,   gates::tiny,
                                          gates::signs,  gates::mixed};

inline const std::vector<sizes> all_sizes{{1, 1, 1, 1, 1},   {1, 2, 1, 1, 1},    {1, 3, 2, 2, 1},
                                          {2, 7, 3, 5, 2},   {1, 16, 2, 8, 8},   {2, 17, 2, 3, 7},
                                          {1, 31, 2, 17, 1}, {1, 64, 2, 16, 16}, {1, 65, 3, 1, 9},
                                          {1, 97, 1, 33, 5}, {2, 130, 2, 4, 19}};
inline const std::vector<sizes> empty_sizes{{2, 0, 2, 3, 3}, {0, 4, 1, 2, 2}, {1, 0, 1, 1, 1}};

// 1, 2, 3, ... printed with every failure; formats of 16 bits count for themselves
inline std::uint64_t next_seed(bool sixteen_bits) {
  static std::uint64_t seeds[2] = {};
  return ++seeds[sixteen_bits];
}
template <class T>
std::uint64_t next_seed() {
  return next_seed(sizeof(gatescan::storage_t<T>) == 2);
}

template <class O, class T>
void check(const std::vector<mode>& modes, const sizes& n, const options& c,
           const settings& how = {}) {
  const std::uint64_t seed = next_seed<T>();
  const auto in = rounded<O, T>(problem<O>(n, c, seed));
  const auto want = O::forward(in);
  const auto dout = rounded_results<O, T>(random_gradients<O>(want, seed + 1000));
  const auto want_gradients = as_returned<O>(in, O::backward(in, dout));
  for (const mode& m : modes_of<O>(modes)) {
    SCOPED_TRACE(::testing::Message() << m << " " << n << " " << c << " seed " << seed);
    expect_results<O>(run_forward<O, T>(m, in, how), want, tolerance_of<T>());
    expect_gradients<O>(run_backward<O, T>(m, in, dout, how), want_gradients, tolerance_of<T>());
    if (::testing::Test::HasFailure()) return;
  }
}

// no tokens, or no sequences: the states go through, nothing else is touched
template <class O, class T>
void check_nothing_to_do(const std::vector<mode>& modes) {
  for (const sizes& n : empty_sizes)
    for (const bool initial_state : {false, true}) {
      options c;
      c.initial_state = initial_state;
      check<O, T>(modes, n, c);
    }
}

// S11, S12: only one of the two output gradients; only some of the gradients asked for. choices(n):
// sets of unwanted operands as bits, of n of them.
template <class O, class T, class Choices>
void check_given_and_wanted(const std::vector<mode>& modes, const sizes& n, Choices choices) {
  const std::uint64_t seed = next_seed<T>();
  const auto in = rounded<O, T>(problem<O>(n, options{}, seed));
  const auto dout = rounded_results<O, T>(random_gradients<O>(O::forward(in), seed));
  for (const mode& m : modes_of<O>(modes)) {
    SCOPED_TRACE(::testing::Message() << m << " seed " << seed);
    for (int given = 0; given < 4; ++given) {
      auto part = dout;
      if ((given & 1) == 0) part.out = {};
      if ((given & 2) == 0) part.final_state = {};
      SCOPED_TRACE(given);
      expect_gradients<O>(run_backward<O, T>(m, in, part),
                          as_returned<O>(in, O::backward(in, part)), tolerance_of<T>());
    }
    const auto all = run_backward<O, T>(m, in, dout);
    std::vector<std::string> names;
    O::operands(
        [&names](const char* name, auto& x) {
          if (x.given()) names.push_back(name);
        },
        in);
    for (const unsigned unwanted : choices(names.size())) {
      settings how;
      for (std::size_t i = 0; i < names.size(); ++i)
        if ((unwanted >> i & 1u) != 0) how.unwanted.insert(names[i]);
      const auto some = run_backward<O, T>(m, in, dout, how);
      O::operands(
          [&](const char* name, auto& part, auto& whole) {
            if (!part.given()) return;
            EXPECT_TRUE(part == whole) << "gradient of " << name << ", without " << unwanted;
          },
          some, all);
    }
    settings how;
    how.unwanted = {"final_state"};
    EXPECT_TRUE((run_forward<O, T>(m, in, how).out == run_forward<O, T>(m, in).out));
    if (::testing::Test::HasFailure()) return;
  }
}

template <class O, class T>
struct cell {
  using oracle = O;
  using scalar = T;
};

}  // namespace grid
