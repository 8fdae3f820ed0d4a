// N17. Subnormal numbers: kept by default, flushed inside a call if asked to, and in no case does a
// call change the caller's control word or depend on it.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <gatescan/gatescan.hpp>
#include <limits>
#include <vector>

#if defined(__SSE2__)
#include <xmmintrin.h>

namespace {

using gatescan::cpu, gatescan::denormals, gatescan::elementwise, gatescan::view;

constexpr unsigned flush_bits = 0x8040, status_bits = 0x3f;  // status records what happened

struct control_word {
  explicit control_word(unsigned bits) : before(_mm_getcsr()) {
    _mm_setcsr((before & ~flush_bits) | bits);
    inside = _mm_getcsr();
  }
  ~control_word() { _mm_setcsr(before); }
  bool unchanged() const { return ((_mm_getcsr() ^ inside) & ~status_bits) == 0; }
  unsigned before, inside = 0;
};

constexpr gatescan::index_t D = 64;  // channels, so that there is work for every thread

// 0.75^t from 1 on
template <class Mode>
std::vector<float> decay(const cpu& backend, const Mode& mode, gatescan::index_t L = 400) {
  const float gate = 0.75f;
  std::vector<float> x(static_cast<std::size_t>(L * D), 0.0f), out(x.size());
  std::fill(x.begin(), x.begin() + D, 1.0f);
  gatescan::forward(
      backend, mode,
      elementwise::inputs<float>{.a = view<const float>(&gate, {1, L, 1, D}, {0, 0, 0, 0}),
                                 .x = view<const float>(x.data(), {1, L, 1, D})},
      {.out = view<float>(out.data(), {1, L, 1, D})});
  return out;
}
bool is_subnormal(float x) { return std::fpclassify(x) == FP_SUBNORMAL; }

template <class Mode>
class subnormals : public ::testing::Test {};
using modes = ::testing::Types<gatescan::recurrent, gatescan::scan, gatescan::chunked>;
TYPED_TEST_SUITE(subnormals, modes);

TYPED_TEST(subnormals, are_kept_unless_flushed) {
  for (const int threads : {1, 3}) {
    const auto kept = decay(cpu{.threads = threads}, TypeParam{});
    const auto flushed = decay(cpu{.threads = threads, .subnormal = denormals::flush}, TypeParam{});
    int subnormal = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      subnormal += is_subnormal(kept[i]);
      EXPECT_FALSE(is_subnormal(flushed[i])) << i;
      // the low part of a state carried between runs is 2^-24 of it, and subnormal so much earlier
      const float margin = std::is_same_v<TypeParam, gatescan::recurrent> ? 4 : 0x1p26f;
      const bool normal = kept[i] > margin * std::numeric_limits<float>::min();
      EXPECT_EQ(flushed[i], normal ? kept[i] : flushed[i]) << i;
    }
    EXPECT_GT(subnormal, 0);
    EXPECT_EQ(flushed.back(), 0);
  }
}

TYPED_TEST(subnormals, the_callers_control_word_is_as_it_was) {
  for (const unsigned bits : {0u, 0x40u, 0x8000u, flush_bits})
    for (const auto policy : {denormals::ieee, denormals::flush})
      for (const int threads : {1, 3}) {
        const control_word word(bits);
        decay(cpu{.threads = threads, .subnormal = policy}, TypeParam{});
        EXPECT_TRUE(word.unchanged()) << bits;
      }
}

// A parked state costs no more than an ordinary one where subnormals are flushed, and both policies
// are right to the last normal number.
TYPED_TEST(subnormals, N17_parking_is_cheap_when_flushed_and_right_in_any_case) {
  constexpr gatescan::index_t L = 10000;
  for (const auto policy : {denormals::ieee, denormals::flush}) {
    const auto out = decay(cpu{.threads = 1, .subnormal = policy}, TypeParam{}, L);
    for (std::size_t t = 0; t < L; ++t) {
      const double truth = std::pow(0.75, static_cast<double>(t));
      const double least = policy == denormals::flush ? 0x1p-126 : 0x1p-147;
      ASSERT_LE(std::abs(static_cast<double>(out[t * D]) - truth), 4e-6 * truth + least) << t;
    }
  }
  const auto seconds = [](float input) {  // of the steps alone: one number is read again and again
    const float gate = 0.75f;
    const std::vector<float> first(D, 1.0f);
    std::vector<float> last(D);
    const auto start = std::chrono::steady_clock::now();
    gatescan::forward(
        cpu{.threads = 1, .subnormal = denormals::flush}, TypeParam{},
        elementwise::inputs<float>{.a = view<const float>(&gate, {1, L, 1, D}, {0, 0, 0, 0}),
                                   .x = view<const float>(&input, {1, L, 1, D}, {0, 0, 0, 0}),
                                   .initial_state = view<const float>(first.data(), {1, 1, D})},
        {.final_state = view<float>(last.data(), {1, 1, D})});
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  double parked = 1e9, ordinary = 1e9;
  for (int i = 0; i < 20; ++i) {  // the least of many, in turns: other work only ever adds
    parked = std::min(parked, seconds(0));
    ordinary = std::min(ordinary, seconds(1));
  }
  EXPECT_LT(parked, 2 * ordinary);
}

}  // namespace
#else
TEST(subnormals, nothing_to_check_on_this_machine) { GTEST_SKIP(); }
#endif
