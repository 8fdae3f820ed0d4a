// N8, N9, N10: gradients are right under gates from 1 to e^-20 and resets, and beside large inputs.
#include <gtest/gtest.h>

#include "../support/compare.hpp"

namespace {

using namespace support;
using gatescan::wide;

const mode recurrent{mode::recurrent, 0}, scan{mode::scan, 0}, chunked{mode::chunked, 0};
const mode attention{mode::attention, 0};

const std::vector<mode> all_modes{recurrent, scan, chunked, {mode::chunked, 64}, attention};

// In recurrent mode m is rounded at every token, the same way where a decay is the same at every
// token. A gradient of the final state counts in units of e^m.
template <class T, class In>
In at_own_log_scales(In in, const mode& m_of) {
  if constexpr (std::is_same_v<In, rwkv4::inputs>) {
    if (m_of.kind != mode::recurrent) return in;
    using C = gatescan::state_t<T>;
    in = rwkv4::hold(in);
    tensor<double>& m = in.held.after;
    for (int64 b = 0; b < m.extent(0); ++b)
      for (int64 d = 0; d < m.extent(2); ++d) {
        C last = static_cast<C>(in.held.first(b, d));
        for (int64 t = 0; t < m.extent(1); ++t) {
          last = std::max(last + static_cast<C>(in.w(d)), static_cast<C>(in.k(b, t, d)));
          m(b, t, d) = last;
        }
      }
  }
  return in;
}

// every gradient, under log gates from 0 to -20 and resets
template <class O, class T>
void expect_gradient_rms(double bound, options c = {}, const sizes& n = {1, 2048, 1, 4, 4},
                         const std::vector<mode>& modes = all_modes) {
  for (const gates gate :
       {gates::one, gates::near_one, gates::mild, gates::strong, gates::resets}) {
    c.gate = gate;
    const auto in = rounded<O, T>(problem<O>(n, c, 140));
    const auto dout = rounded_results<O, T>(random_gradients<O>(O::forward(in), 141));
    auto tolerance = tolerance_of<T>();
    tolerance.gradient = tolerance.state_gradient = bound;
    for (const mode& m : modes_of<O>(modes)) {
      SCOPED_TRACE(::testing::Message() << m << " gates " << gate);
      const auto want = as_returned<O>(in, O::backward(at_own_log_scales<T>(in, m), dout));
      expect_gradients<O>(run_backward<O, T>(m, in, dout), want, tolerance);
    }
  }
}
TEST(quality, N8_gradients_of_elementwise) {
  expect_gradient_rms<real_elementwise, float>(1e-5);
  expect_gradient_rms<complex_elementwise, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_gateloop) {
  expect_gradient_rms<gateloop, float>(1e-5);
  expect_gradient_rms<gateloop, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_gla) {
  expect_gradient_rms<gla, float>(1e-5);
  expect_gradient_rms<gla, wide<float>>(1e-6);
  options a_head;
  a_head.switches["head_gate"] = true;
  expect_gradient_rms<gla, float>(1e-5, a_head);
  expect_gradient_rms<gla, wide<float>>(1e-6, a_head);
}
TEST(quality, N8_gradients_of_selective_scan) {
  expect_gradient_rms<selective_scan, float>(1e-5);
  expect_gradient_rms<selective_scan, wide<float>>(1e-6);
}
// Eight heads: the gradient of A of one is a sum over all tokens whose terms nearly cancel.
TEST(quality, N8_gradients_of_mamba2) {
  constexpr sizes n{1, 2048, 8, 4, 4};
  expect_gradient_rms<mamba2, float>(1e-5, {}, n);
  expect_gradient_rms<mamba2, wide<float>>(1e-6, {}, n);
}
TEST(quality, N8_gradients_of_rwkv6) {
  expect_gradient_rms<rwkv6, float>(1e-5);
  expect_gradient_rms<rwkv6, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_hgrn2) {
  for (const bool bounded : {false, true}) {
    options c;
    c.switches["lower_bound"] = bounded;
    expect_gradient_rms<hgrn2, float>(1e-5, c);
    expect_gradient_rms<hgrn2, wide<float>>(1e-6, c);
  }
}
TEST(quality, N8_gradients_of_retention) {
  expect_gradient_rms<retention, float>(1e-5);
  expect_gradient_rms<retention, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_hgrn) {
  expect_gradient_rms<hgrn, float>(1e-5);
  expect_gradient_rms<hgrn, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_min_gru) {
  expect_gradient_rms<min_gru, float>(1e-5);
  expect_gradient_rms<min_gru, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_min_lstm) {
  expect_gradient_rms<min_lstm, float>(1e-5);
  expect_gradient_rms<min_lstm, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_linear_attention) {
  expect_gradient_rms<linear_attention, float>(1e-5);
  expect_gradient_rms<linear_attention, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_mlstm) {
  expect_gradient_rms<mlstm, float>(1e-5);
  expect_gradient_rms<mlstm, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_rwkv4) {
  expect_gradient_rms<rwkv4, float>(1e-5);
  expect_gradient_rms<rwkv4, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_aaren) {
  expect_gradient_rms<aaren, float>(1e-5);
  expect_gradient_rms<aaren, wide<float>>(1e-6);
}
TEST(quality, N8_gradients_of_rg_lru) {
  expect_gradient_rms<rg_lru, float>(1e-5);
  expect_gradient_rms<rg_lru, wide<float>>(1e-6);
}
// Attention sums up all that a sequence wrote and took away again, so that its error grows with the
// square root of the length where gates are 1.
TEST(quality, N8_gradients_of_gated_delta_net) {
  for (const bool head_gate : {false, true}) {
    options c;
    c.switches["head_gate"] = head_gate;
    const std::vector<mode> with_states{recurrent, chunked, {mode::chunked, 64}};
    expect_gradient_rms<gated_delta_net, float>(1e-5, c, {1, 2048, 1, 4, 4}, with_states);
    expect_gradient_rms<gated_delta_net, float>(1e-5, c, {1, 256, 1, 4, 4}, {attention});
    expect_gradient_rms<gated_delta_net, wide<float>>(1e-6, c);
  }
}

// N9, N10: |x| far above |a h|, gates of 0 and 1e-20: nothing is rebuilt by subtraction or division
TEST(quality, N9_N10_gate_gradients_beside_large_inputs) {
  generator g(150);
  real_elementwise::inputs in;
  in.a = tensor<double>({1, 300, 1, 3}, 1e-6);
  for (int64 t = 0; t < 300; ++t) in.a(0, t, 0, 1) = t % 3 == 0 ? 0 : 1e-20;
  in.x = g.normals({1, 300, 1, 3});
  for (double& x : in.x.data) x *= 1e6;
  in.initial_state = g.normals({1, 1, 3});
  in = rounded<real_elementwise, float>(in);
  const auto dout = rounded_results<real_elementwise, float>(
      random_gradients<real_elementwise>(real_elementwise::forward(in), 151));
  const auto want = real_elementwise::backward(in, dout);
  for (const mode& m : {recurrent, scan, chunked, attention}) {
    const auto got = run_backward<real_elementwise, float>(m, in, dout);
    EXPECT_LE(relative_rms(got.a, want.a, 0, 0), 1e-6) << m;
  }
}

}  // namespace
