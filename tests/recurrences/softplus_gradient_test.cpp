// A gradient of the step that overflows float, where softplus does not move with delta at all: the
// product is 0, not inf 0. (The exact d_delta here is -4e-48.)

#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>

namespace {

TEST(softplus_gradient, an_overflow_times_a_slope_of_0) {
  const float one = 1, delta = -200, A = -3e38f, state = 10;
  float d_delta = 7, d_bias = 7;
  const gatescan::view<const float> token{&one, {1, 1, 1}};
  gatescan::selective_scan::inputs<float> in{.u = token,
                                             .delta = {&delta, {1, 1, 1}},
                                             .A = {&A, {1, 1}},
                                             .B = token,
                                             .C = token,
                                             .initial_state = {&state, {1, 1, 1}},
                                             .softplus = true};
  const float no_bias = 0;
  in.delta_bias = gatescan::view<const float>{&no_bias, {1}};
  gatescan::selective_scan::gradients<float> d;
  d.delta = gatescan::view<float>{&d_delta, {1, 1, 1}};
  d.delta_bias = gatescan::view<float>{&d_bias, {1}};
  gatescan::backward(gatescan::cpu{.threads = 1}, gatescan::recurrent{}, in, {.out = token}, d);
  EXPECT_EQ(d_delta, 0);
  EXPECT_EQ(d_bias, 0);
}

}  // namespace
