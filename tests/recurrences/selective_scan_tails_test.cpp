// S4: what fills up registers, runs and segments is no token and no channel, though softplus(0) is
// not 0 and a bias would open its gate.
#include <gtest/gtest.h>

#include "../support/compare.hpp"

namespace {

using namespace support;

// Every gradient that is a sum over tokens or channels would count what is not there.
template <class T>
void check_tails(double bias) {
  for (const int64 states : {1, 3, 5})
    for (const int64 channels : {1, 2, 7, 9, 17, 33})
      for (const int64 length : {1, 17, 65}) {
        options c;
        c.group = channels == 9 ? 3 : 1;  // heads of 9: three groups of B and C
        const auto seed = static_cast<std::uint64_t>(1000 * states + 10 * channels + length);
        auto in = problem<selective_scan>({2, length, channels, states, 1}, c, seed);
        for (double& b : in.delta_bias.data) b += bias;
        for (double& a : in.A.data) a /= 1 + std::abs(bias);  // not all gates 0
        in = rounded<selective_scan, T>(in);
        const auto want = selective_scan::forward(in);
        const auto dout =
            rounded_results<selective_scan, T>(random_gradients<selective_scan>(want, seed));
        const auto gradients = selective_scan::backward(in, dout);
        for (const mode& m : {mode{mode::recurrent, 0}, mode{mode::scan, 0}, mode{mode::chunked, 0},
                              mode{mode::chunked, 16}, mode{mode::attention, 0}}) {
          SCOPED_TRACE(::testing::Message() << m << " bias " << bias << " channels " << channels
                                            << " states " << states << " length " << length);
          expect_results<selective_scan>(run_forward<selective_scan, T>(m, in), want,
                                         tolerance_of<T>());
          expect_gradients<selective_scan>(run_backward<selective_scan, T>(m, in, dout), gradients,
                                           tolerance_of<T>());
          if (::testing::Test::HasFailure()) return;
        }
      }
}

TEST(quality, S4_tails_with_a_bias_in_double) {
  for (const double bias : {-3.0, 0.0, 20.0}) check_tails<double>(bias);
}
TEST(quality, S4_tails_with_a_bias_in_float) {
  for (const double bias : {-3.0, 0.0, 20.0}) check_tails<float>(bias);
}

}  // namespace
