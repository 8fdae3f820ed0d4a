// Every recurrence in one small program, which is also built with sanitizers: right in a few modes,
// the same bits in every run and for any order of blocks, and no access outside its memory whatever
// a device finds for offsets.
#include <algorithm>
#include <limits>

#include "device.hpp"
//
#include "../grid/check.hpp"
#include "../support/slices.hpp"

namespace support {

inline bool& last_block_first() {
  static bool yes = false;
  return yes;
}
template <>
struct backend_of<gatescan::device<float>> {
  using format = gatescan::device<float>;
  static emulated_gpu make(const settings&) { return {.last_block_first = last_block_first()}; }
};

}  // namespace support

namespace {

using namespace support;
using T = gatescan::device<float>;

template <class O>
class every_recurrence_device : public ::testing::Test {};
using recurrences = every_device_case<::testing::Types>;
TYPED_TEST_SUITE(every_recurrence_device, recurrences);

options shared_heads(int64 sequences) {
  options c;
  c.group = 2;
  c.sequences = sequences;
  return c;
}
constexpr sizes some{1, 21, 2, 3, 5};

TYPED_TEST(every_recurrence_device, forward_and_backward) {
  for (const int64 sequences : {0, 3})
    grid::check<TypeParam, T>(grid::few_modes, some, shared_heads(sequences));
}

TYPED_TEST(every_recurrence_device, the_same_bits_in_every_run_and_order_of_blocks) {
  using O = TypeParam;
  for (const int64 sequences : {0, 3}) {
    const auto in = rounded<O, T>(problem<O>(some, shared_heads(sequences), 51));
    const auto d = rounded_results<O, T>(random_gradients<O>(O::forward(in), 52));
    for (const mode& m : {mode{mode::recurrent, 0}, mode{mode::scan, 3}, mode{mode::chunked, 5},
                          mode{mode::attention, 0}}) {
      SCOPED_TRACE(::testing::Message() << m << " sequences " << sequences);
      const auto want = run_forward<O, T>(m, in);
      const auto want_d = run_backward<O, T>(m, in, d);
      for (const bool backwards : {false, true}) {
        last_block_first() = backwards;
        const auto got = run_forward<O, T>(m, in);
        const auto got_d = run_backward<O, T>(m, in, d);
        last_block_first() = false;
        O::results([](const char* name, auto& g, auto& w) { EXPECT_TRUE(same_bits(g, w)) << name; },
                   got, want);
        O::operands([](const char* name, auto& g,
                       auto& w) { EXPECT_TRUE(same_bits(g, w)) << "gradient of " << name; },
                    got_d, want_d);
      }
    }
  }
}

TYPED_TEST(every_recurrence_device, offsets_that_are_wrong_reach_no_other_memory) {
  using O = TypeParam;
  constexpr int64 most = std::numeric_limits<int64>::max();
  options c = shared_heads(4);
  c.initial_state = false;
  auto in = rounded<O, T>(problem<O>(some, c, 53));
  const auto d = rounded_results<O, T>(random_gradients<O>(O::forward(in), 54));
  for (const std::vector<int64>& offsets : {std::vector<int64>{-7, 4, 9, 30, most},
                                            {9, 4, 21, 2, 17},
                                            {-most, most, -1, 1000, 0},
                                            {21, 21, 21, 21, 21}})
    for (const mode& m : grid::few_modes) {
      SCOPED_TRACE(::testing::Message() << m << " first offset " << offsets[0]);
      in.sequence_offsets = offsets;
      run_forward<O, T>(m, in);  // looks at the fences of what it writes
      run_backward<O, T>(m, in, d);
    }
}

// tokens before the first sequence and after the last one are in none, and get no output
TYPED_TEST(every_recurrence_device, offsets_may_leave_tokens_out) {
  using O = TypeParam;
  constexpr sizes n{1, 90, 2, 1, 2};
  options c = shared_heads(4);
  c.initial_state = false;
  auto in = rounded<O, T>(problem<O>(n, c, 55));
  for (const mode& m : grid::few_modes) {
    SCOPED_TRACE(m);
    in.sequence_offsets = {0, 70, 75, 88, 90};
    const auto want = run_forward<O, T>(m, in).out;
    in.sequence_offsets = {70, 70, 75, 75, 88};
    const auto got = run_forward<O, T>(m, in).out;
    EXPECT_TRUE(same_bits(slice(got, 70, 88), slice(want, 70, 88)));
    const auto is_untouched = [](const auto& x) {
      return std::all_of(x.data.begin(), x.data.end(), [](const auto& e) { return !(e == e); });
    };
    EXPECT_TRUE(is_untouched(slice(got, 0, 70)) && is_untouched(slice(got, 88, 90)));
  }
}

}  // namespace
