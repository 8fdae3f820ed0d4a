// Sums of a million terms in double and many turns in float keep their digits on the device
// too, as tests/properties/accuracy_test.cpp has it for the CPU.
#include <cmath>

#include "../support/compare.hpp"
#include "device_formats.hpp"

namespace {

using namespace support;

constexpr int64 million = int64{1} << 20;

// max_t |h_t - h*_t| / S_t, S_t = |a_t| S_{t-1} + |x_t|
double conditioned_error(const tensor<double>& got, const real_elementwise::inputs& in) {
  long double h = 0, size = 0, worst = 0;
  for (std::size_t t = 0; t < got.data.size(); ++t) {
    const long double a = in.a.data[t], x = in.x.data[t];
    h = a == 0 ? x : a * h + x;
    size = std::fabs(a) * size + std::fabs(x);
    if (size > 0) worst = std::max(worst, std::fabs(got.data[t] - h) / size);
  }
  return static_cast<double>(worst);
}

TEST(accuracy_device, double_over_a_million_steps) {
  for (const gates gate : {gates::near_one, gates::one})
    for (const bool positive : {false, true}) {
      generator g(120);
      real_elementwise::inputs in;
      in.a = g.linear_gates({1, million, 1, 1}, gate);
      in.x = positive ? g.uniforms({1, million, 1, 1}, 0, 1) : g.normals({1, million, 1, 1});
      for (const mode& m : {mode{mode::scan, 0}, mode{mode::chunked, 0}})
        EXPECT_LE(conditioned_error(run_forward<real_elementwise, double>(m, in).out, in), 1e-15)
            << m << " gates " << gate << (positive ? ", x > 0" : "");
    }
}

// N15: many turns of unit modulus, by angles up to a million radians, in long segments too
TEST(accuracy_device, phase_and_modulus) {
  constexpr int64 L = 20001;
  for (const double angle : {1e-7, 3.1415925, 1e6}) {
    gateloop::inputs in;
    in.q = in.k = tensor<cplx<double>>({1, L, 1, 1}, cplx<double>(1));
    in.v = tensor<double>({1, L, 1, 1}, 0);
    in.v.data[0] = 1;
    in.log_magnitude = tensor<double>({1, L, 1, 1}, 0);
    in.phase = tensor<double>({1, L, 1, 1}, angle);
    in = rounded<gateloop, float>(in);
    const long double turn = static_cast<long double>(in.phase.data[0]) * (L - 1);
    const double c = static_cast<double>(std::cos(turn)), s = static_cast<double>(std::sin(turn));
    for (const mode& m : {mode{mode::scan, 2}, mode{mode::chunked, 256}}) {
      const auto got = run_forward<gateloop, float>(m, in);
      const auto state = got.final_state.data[0];
      const double off = std::atan2(state.im * c - state.re * s, state.re * c + state.im * s);
      EXPECT_NEAR(std::hypot(state.re, state.im), 1, 5e-5) << m << " modulus, angle " << angle;
      EXPECT_NEAR(off, 0, 5e-5) << m << " phase, angle " << angle;
      EXPECT_NEAR(got.out.data.back(), c, 5e-5) << m << " out, angle " << angle;
    }
  }
}

// angles of a million radians that change from token to token, forward and backward
TEST(accuracy_device, large_angles) {
  auto in = problem<gateloop>({1, 83, 2, 3, 2}, options{}, 61);
  generator g(62);
  in.phase = g.uniforms(in.phase.shape, -1e6, 1e6);
  in = rounded<gateloop, float>(in);
  const auto want = gateloop::forward(in);
  const auto d = rounded_results<gateloop, float>(random_gradients<gateloop>(want, 63));
  const auto want_d = as_returned<gateloop>(in, gateloop::backward(in, d));
  for (const mode& m : {mode{mode::recurrent, 0}, mode{mode::scan, 3}, mode{mode::chunked, 0},
                        mode{mode::attention, 0}}) {
    SCOPED_TRACE(m);
    expect_results<gateloop>(run_forward<gateloop, float>(m, in), want, tolerance_of<float>());
    expect_gradients<gateloop>(run_backward<gateloop, float>(m, in, d), want_d,
                               tolerance_of<float>());
  }
}

// Scores inside 16 tokens are divided by the product of their gates up to 2^-60, and made by
// running products beyond: sizes of operands and gates on both sides of that limit.
TEST(accuracy_device, far_decays_of_16_bits) {
  const double limit = -60 * std::log(2.0) / 16;
  for (const double size : {0x1p-50, 1.0, 0x1p30})
    for (const double decay : {limit * 0.99, limit * 1.01, limit / 2, limit * 2, limit * 4}) {
      auto in = problem<gla>({1, 70, 1, 3, 2}, options{}, 71);
      generator g(72);
      in.log_decay = g.uniforms(in.log_decay.shape, 1.01 * decay, 0.99 * decay);
      for (std::size_t i = 0; i < in.log_decay.data.size(); i += 7) in.log_decay.data[i] = 0;
      for (auto& x : in.k.data) x *= size;
      in = rounded<gla, gatescan::bf16>(in);
      const auto want = gla::forward(in);
      const auto d = rounded_results<gla, gatescan::bf16>(random_gradients<gla>(want, 73));
      const auto want_d = as_returned<gla>(in, gla::backward(in, d));
      SCOPED_TRACE(::testing::Message() << "size " << size << ", decay " << decay);
      for (const mode& m : {mode{mode::chunked, 0}, mode{mode::attention, 0}}) {
        SCOPED_TRACE(m);
        expect_results<gla>(run_forward<gla, gatescan::bf16>(m, in), want,
                            tolerance_of<gatescan::bf16>());
        expect_gradients<gla>(run_backward<gla, gatescan::bf16>(m, in, d), want_d,
                              tolerance_of<gatescan::bf16>());
      }
    }
}

}  // namespace
