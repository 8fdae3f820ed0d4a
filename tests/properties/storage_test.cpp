// bf16 and fp16 storage: the arithmetic is float, so a result is rounded once.
#include <gtest/gtest.h>

#include <cmath>

#include "../support/compare.hpp"

namespace {

using namespace support;
using gatescan::bf16, gatescan::half;

const mode recurrent{mode::recurrent, 0}, scan{mode::scan, 0}, chunked{mode::chunked, 0};
const mode attention{mode::attention, 0};

// 16-bit storage: float arithmetic and one rounding, so at most one unit in the last place away
// from the oracle, beside an error of float arithmetic where terms cancel
template <class O, class T>
void expect_one_rounding(double epsilon) {
  for (const gates gate : {gates::mild, gates::near_one, gates::resets}) {
    options c;
    c.gate = gate;
    const auto in = rounded<O, T>(problem<O>({1, 150, 2, 5, 4}, c, 160));
    const auto want = O::forward(in).out;
    double size = 0;
    for (const auto& e : want.data) size = std::max(size, std::sqrt(square(e)));
    for (const mode& m : modes_of<O>({recurrent, scan, chunked, attention})) {
      const auto got = run_forward<O, T>(m, in).out;
      const auto check = [&](double x, double y) {
        const double ulp = std::ldexp(epsilon, std::ilogb(std::max(std::fabs(y), 1e-300)));
        return std::fabs(x - y) <= ulp + 2e-6 * size;
      };
      for (std::size_t i = 0; i < want.data.size(); ++i) {
        if constexpr (requires { want.data[i].re; }) {
          ASSERT_TRUE(check(got.data[i].re, want.data[i].re)) << m << " " << gate << " " << i;
          ASSERT_TRUE(check(got.data[i].im, want.data[i].im)) << m << " " << gate << " " << i;
        } else {
          ASSERT_TRUE(check(got.data[i], want.data[i])) << m << " " << gate << " " << i;
        }
      }
    }
  }
}
template <class O>
class storage : public ::testing::Test {};
TYPED_TEST_SUITE(storage, every_case<::testing::Types>);

TYPED_TEST(storage, bf16_is_rounded_once) { expect_one_rounding<TypeParam, bf16>(0x1p-7); }
TYPED_TEST(storage, half_is_rounded_once) { expect_one_rounding<TypeParam, half>(0x1p-10); }

}  // namespace
