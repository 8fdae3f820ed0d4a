// The grid: recurrence x mode x scalar x {forward, backward} against the oracle, over sizes, gates,
// optional operands, layouts and subsets of what is asked for. Two programs a recurrence: formats
// of full width, and 16-bit storage.
#pragma once

#include "check.hpp"

namespace grid {

template <class Cell>
class grid : public ::testing::Test {};

template <class O>
using full_width =
    ::testing::Types<cell<O, double>, cell<O, float>, cell<O, gatescan::wide<float>>>;
template <class O>
using sixteen_bits = ::testing::Types<cell<O, gatescan::bf16>, cell<O, gatescan::half>,
                                      cell<O, gatescan::wide<gatescan::bf16>>>;

TYPED_TEST_SUITE_P(grid);

TYPED_TEST_P(grid, sizes_and_gates) {
  using O = typename TypeParam::oracle;
  for (const sizes& n : all_sizes)
    for (const gates gate : all_gates) {
      options c;
      c.gate = gate;
      check<O, typename TypeParam::scalar>(all_modes, n, c);
    }
}

// no tokens, or no sequences: the states go through, nothing else is touched
TYPED_TEST_P(grid, nothing_to_do) {
  using O = typename TypeParam::oracle;
  for (const sizes& n : empty_sizes)
    for (const bool initial_state : {false, true}) {
      options c;
      c.initial_state = initial_state;
      check<O, typename TypeParam::scalar>(all_modes, n, c);
    }
}

// every subset of the optional operands and of the forms an operand can have
TYPED_TEST_P(grid, optional_operands) {
  using O = typename TypeParam::oracle;
  for (const int64 sequences : {0, 4})
    for (const int64 group : {1, 2})
      for (int subset = 0; subset < 64; ++subset) {
        const auto has = [subset](int bit) { return (subset >> bit & 1) != 0; };
        options c;
        c.gate = has(0) ? gates::resets : gates::mild;
        c.sequences = sequences;
        c.group = group;
        c.initial_state = has(1);
        c.complex = c.D = has(2);
        c.linear = c.z = has(3);
        c.phase = c.delta_bias = has(4);
        c.scalar_decay = c.softplus = has(5);
        check<O, typename TypeParam::scalar>(few_modes, {sequences > 0 ? 1 : 2, 13, 4, 3, 5}, c);
      }
}

TYPED_TEST_P(grid, every_layout) {
  using O = typename TypeParam::oracle;
  for (const layouts layout : all_layouts)
    for (const bool planned : {false, true}) {
      settings how;
      how.layout = layout;
      how.planned = planned;
      options c;
      c.group = 2;
      check<O, typename TypeParam::scalar>(few_modes, {2, 23, 4, 5, 3}, c, how);
    }
}

// S11, S12: only one of the two output gradients; only some of the gradients asked for
TYPED_TEST_P(grid, what_is_given_and_what_is_wanted) {
  using O = typename TypeParam::oracle;
  using T = typename TypeParam::scalar;
  const std::uint64_t seed = next_seed();
  const auto in = rounded<O, T>(problem<O>({2, 21, 2, 3, 5}, options{}, seed));
  const auto dout = rounded_results<O, T>(random_gradients<O>(O::forward(in), seed));
  for (const mode& m : few_modes) {
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
    for (unsigned subset = 0; subset < 1u << names.size(); ++subset) {
      settings how;
      for (std::size_t i = 0; i < names.size(); ++i)
        if ((subset >> i & 1u) != 0) how.unwanted.insert(names[i]);
      const auto some = run_backward<O, T>(m, in, dout, how);
      O::operands(
          [&](const char* name, auto& part, auto& whole) {
            if (!part.given()) return;
            EXPECT_TRUE(part == whole) << "gradient of " << name << ", subset " << subset;
          },
          some, all);
    }
    settings how;
    how.unwanted = {"final_state"};
    EXPECT_TRUE((run_forward<O, T>(m, in, how).out == run_forward<O, T>(m, in).out));
    if (::testing::Test::HasFailure()) return;
  }
}

REGISTER_TYPED_TEST_SUITE_P(grid, sizes_and_gates, nothing_to_do, optional_operands, every_layout,
                            what_is_given_and_what_is_wanted);

}  // namespace grid
