// Forward in double over 2^20 tokens against oracles in numbers of 113 bits, to which a double's
// rounding is visible: cond_err = max_t |h_t - h*_t| / S_t, S_t the same recurrence on sizes.
//
// Terms are positive, so that errors add up; but selective scan's have both signs: there all tokens
// share one decay, and the roundings of its gates would add up as well (1.8e-15 for gates near 1).
#include <gtest/gtest.h>

#include <cmath>
#include <type_traits>

#include "../support/compare.hpp"
#include "../support/quad.hpp"

namespace {

using namespace support;

constexpr int64 million = int64{1} << 20;
const std::vector<mode> modes{{mode::scan, 0}, {mode::chunked, 0}};

// Gates of operands are no terms.
real_elementwise::inputs sizes_of_terms(real_elementwise::inputs in) {
  in.a = magnitude(in.a), in.x = magnitude(in.x), in.initial_state = magnitude(in.initial_state);
  return in;
}
gla::inputs sizes_of_terms(gla::inputs in) {
  in.q = magnitude(in.q), in.k = magnitude(in.k), in.v = magnitude(in.v);
  in.initial_state = magnitude(in.initial_state);
  return in;
}
selective_scan::inputs sizes_of_terms(selective_scan::inputs in) {
  in.u = magnitude(in.u), in.B = magnitude(in.B), in.C = magnitude(in.C), in.D = magnitude(in.D);
  in.initial_state = magnitude(in.initial_state);
  return in;
}

template <class O>
class wide_oracle : public ::testing::Test {};
using recurrences = ::testing::Types<real_elementwise, gla, selective_scan>;
TYPED_TEST_SUITE(wide_oracle, recurrences);

TYPED_TEST(wide_oracle, N5_double_over_a_million_steps) {
  using O = TypeParam;
  using Q = typename rebind<quad, O>::type;
  options c;
  turn<O>(c, {"z", "softplus"}, false);
  settings how;
  how.threads = 2;
  for (const gates gate : {gates::mild, gates::near_one, gates::one, gates::resets}) {
    c.gate = gate;
    auto in = problem<O>({1, million, 1, 1, 1}, c, 140);
    if constexpr (!std::is_same_v<O, selective_scan>) in = sizes_of_terms(in);
    const auto want = Q::forward(convert_inputs<Q>(in)).out;
    const auto terms = O::forward(sizes_of_terms(in)).out;
    for (const mode& m : modes) {
      const auto got = run_forward<O, double>(m, in, how).out;
      double worst = 0;
      for (std::size_t i = 0; i < got.data.size(); ++i) {
        const double off = std::fabs(static_cast<double>(quad(got.data[i]) - want.data[i]));
        if (off > 0) worst = std::max(worst, off / terms.data[i]);
      }
      EXPECT_LE(worst, 1e-15) << m << " gates " << gate;
    }
  }
}

}  // namespace
