// float_gates<T> on a device: gates and their gradients keep the accuracy of floats beside operands
// of 16 bits.
#include "../support/compare.hpp"
#include "device.hpp"

namespace {

using namespace support;
using T = gatescan::device<gatescan::float_gates<gatescan::bf16>>;

double largest(const tensor<double>& x) {
  double most = 0;
  for (const double e : x.data) most = std::max(most, std::fabs(e));
  return most;
}
double largest_difference(const tensor<double>& x, const tensor<double>& y) {
  double most = 0;
  for (std::size_t i = 0; i < x.data.size(); ++i)
    most = std::max(most, std::fabs(x.data[i] - y.data[i]));
  return most;
}

class float_gates : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(head_gate, float_gates, ::testing::Bool());

TEST_P(float_gates, on_a_device) {
  using O = gla;
  options c;
  c.gate = gates::near_one;
  c.switches["head_gate"] = GetParam();
  const auto in = rounded<O, T>(problem<O>({2, 75, 4, 20, 18}, c, 31));
  const auto d_out = rounded_results<O, T>(random_gradients<O>(O::forward(in), 32));
  const auto want = O::forward(in);
  const auto d_want = O::backward(in, d_out);
  for (const mode& m : {mode{mode::recurrent, 0}, mode{mode::chunked, 16}}) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto out = run_forward<O, T>(m, in).out;
    EXPECT_LE(largest_difference(out, want.out), 0x1p-8 * largest(want.out));
    const auto d = run_backward<O, T>(m, in, d_out);
    EXPECT_LE(largest_difference(d.q, d_want.q), 0x1p-8 * largest(d_want.q));
    EXPECT_LE(largest_difference(d.log_decay, d_want.log_decay), 1e-5 * largest(d_want.log_decay));
  }
}

}  // namespace
