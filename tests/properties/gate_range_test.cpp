// N1, N2, N4, N6, N18, N19: gates of any size, from products that underflow to above one.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

constexpr double inf = std::numeric_limits<double>::infinity();

const std::vector<mode> modes{{mode::recurrent, 0}, {mode::scan, 0},     {mode::chunked, 0},
                              {mode::chunked, 1},   {mode::chunked, 16}, {mode::chunked, 21},
                              {mode::attention, 0}};

template <class O>
class gate_range : public ::testing::Test {};
using recurrences = every_gated_case<::testing::Types>;
TYPED_TEST_SUITE(gate_range, recurrences);

// all gates of a problem the same
void set_log_gates(gla::inputs& in, double g) {
  for (double& x : in.log_decay.data) x = g;
}
void set_log_gates(gateloop::inputs& in, double g) {
  for (double& x : in.log_magnitude.data) x = g;
}
void set_log_gates(real_elementwise::inputs& in, double g) {
  for (double& x : in.a.data) x = std::exp(g);
}
void set_log_gates(complex_elementwise::inputs& in, double g) {
  for (auto& x : in.a.data) x = {0.6 * std::exp(g), 0.8 * std::exp(g)};
}
void set_log_gates(rwkv4::inputs& in, double g) {
  for (double& x : in.w.data) x = g;
}
void set_log_gates(rwkv6::inputs& in, double g) {
  for (double& x : in.w.data) x = g;
}
void set_log_gates(rwkv7::inputs& in, double g) {
  for (double& x : in.w.data) x = g;
}
void set_log_gates(gated_delta_net::inputs& in, double g) {
  for (double& x : in.log_decay.data) x = g;
}
void set_log_gates(hgrn2::inputs& in, double g) {
  for (double& x : in.f.data) x = generator::logit_of_log(g);
}
void set_log_gates(retention::inputs& in, double g) {
  for (double& x : in.log_decay.data) x = g;
}
void set_log_gates(hgrn::inputs& in, double g) {
  for (double& x : in.log_decay.data) x = g;
}
void set_log_gates(min_gru::inputs& in, double g) {
  for (double& x : in.z.data) x = -generator::logit_of_log(g);
}
void set_log_gates(min_lstm::inputs& in, double g) {
  for (std::size_t i = 0; i < in.f.data.size(); ++i)
    case_of<min_lstm>::set_log_gate(in.f.data[i], in.i.data[i], g, 0.5);
}
void set_log_gates(rg_lru::inputs& in, double g) {
  for (double& x : in.r.data) x = 0;  // 8 softplus(Lambda) / 2 is -g
  for (double& x : in.Lambda.data) x = case_of<min_lstm>::log_of_expm1(-g / 4);
}
void set_log_gates(mlstm::inputs& in, double g) {
  for (double& x : in.f.data) x = generator::logit_of_log(g);
}
void set_log_gates(mamba2::inputs& in, double g) {
  for (double& x : in.A.data) x = g;
  for (double& x : in.dt.data) x = 1;
  in.dt_bias = {};
  in.softplus = false;
}
void set_log_gates(selective_scan::inputs& in, double g) {
  for (double& x : in.A.data) x = g;
  for (double& x : in.delta.data) x = 1;
  in.delta_bias = {};
  in.softplus = false;
}

// N1, N4, N6: no gate, however strong, makes anything but the right finite number
TYPED_TEST(gate_range, N1_N6_any_log_gate_in_any_chunk_is_finite_and_right) {
  using O = TypeParam;
  auto in = problem<O>({1, 150, 1, 3, 2}, options{}, 60);
  for (const double g : {-1e-6, -1e-3, -0.5, -8.0, -20.0, -87.0, -100.0, -1e4, -3.4028e37, -inf}) {
    set_log_gates(in, g);
    const auto rounded_in = rounded<O, float>(in);
    const auto want = O::forward(rounded_in);
    const auto dout = rounded_results<O, float>(random_gradients<O>(want, 61));
    const auto gradients = as_returned<O>(rounded_in, O::backward(rounded_in, dout));
    std::vector<mode> some{{mode::recurrent, 0}, {mode::scan, 0}, {mode::attention, 0}};
    for (const int chunk : {1, 2, 16, 63, 64, 65, 256}) some.push_back({mode::chunked, chunk});
    for (const mode& m : modes_of<O>(some)) {
      SCOPED_TRACE(::testing::Message() << m << " log gate " << g);
      expect_results<O>(run_forward<O, float>(m, rounded_in), want, tolerance_of<float>());
      expect_gradients<O>(run_backward<O, float>(m, rounded_in, dout), gradients,
                          tolerance_of<float>());
    }
    if (this->HasFailure()) return;
  }
}

// N2: a product of gates that underflows hurts nothing that comes after it
TEST(quality, N2_later_tokens_survive_an_underflowed_product) {
  real_elementwise::inputs in;
  in.a = tensor<double>({1, 64, 1, 1}, 1);
  in.x = tensor<double>({1, 64, 1, 1}, 0);
  in.x(0, 0, 0, 0) = 5;
  for (int64 t = 4; t < 12; ++t) in.a(0, t, 0, 0) = 1e-30;
  in.x(0, 12, 0, 0) = 3;
  gla::inputs g;
  g.q = tensor<double>({1, 64, 1, 1}, 1);
  g.k = in.x;
  g.v = tensor<double>({1, 64, 1, 1}, 1);
  g.log_decay = in.a.map([](double a) { return std::log(a); });
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto out = run_forward<real_elementwise, float>(m, in).out;
    const auto gla_out = run_forward<gla, float>(m, g).out;
    for (int64 t = 0; t < 64; ++t)
      if (t < 4 || t >= 12) {
        EXPECT_EQ(out(0, t, 0, 0), t < 4 ? 5 : 3) << t;
        EXPECT_EQ(gla_out(0, t, 0, 0), t < 4 ? 5 : 3) << t;
      }
    auto dout = real_elementwise::forward(in);
    dout.out = tensor<double>(dout.out.shape, 0);
    dout.out(0, 20, 0, 0) = 1;
    dout.final_state = {};
    const auto d = run_backward<real_elementwise, float>(m, in, dout);
    for (int64 t = 12; t < 64; ++t) EXPECT_EQ(d.x(0, t, 0, 0), t <= 20 ? 1 : 0) << t;
  }
}

// N18: a gate of 1 is no gate: the same bits as a plain running sum, and as the same gate given in
// another way
TEST(quality, N18_gates_of_one_are_a_running_sum) {
  auto in = rounded<real_elementwise, float>(problem<real_elementwise>({1, 300, 1, 1, 5}, {}, 70));
  for (double& a : in.a.data) a = 1;
  auto want = in.x;
  for (int64 d = 0; d < 5; ++d) {
    float sum = static_cast<float>(in.initial_state(0, 0, d));
    for (int64 t = 0; t < 300; ++t) {
      sum += static_cast<float>(in.x(0, t, 0, d));
      want(0, t, 0, d) = static_cast<double>(sum);
    }
  }
  EXPECT_TRUE(same_bits(run_forward<real_elementwise, float>({mode::recurrent, 0}, in).out, want));

  options c;
  c.switches["phase"] = false;
  auto log_gates = rounded<gateloop, float>(problem<gateloop>({2, 75, 2, 3, 4}, c, 71));
  for (double& g : log_gates.log_magnitude.data) g = 0;
  auto with_phase = log_gates;
  with_phase.phase = tensor<double>(log_gates.log_magnitude.shape, 0);
  auto linear = log_gates;
  linear.log_magnitude = {};
  linear.a = tensor<cplx<double>>(log_gates.log_magnitude.shape, cplx<double>(1));
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto out = run_forward<gateloop, float>(m, log_gates);
    expect_same_results<gateloop>(run_forward<gateloop, float>(m, with_phase), out);
    expect_same_results<gateloop>(run_forward<gateloop, float>(m, linear), out);
  }
}

// N19: any a in [-2, 2], and where the sequential result is finite so is every mode's
TEST(quality, N19_gates_beyond_one_and_below_zero) {
  generator g(80);
  for (const double size : {0.5, 1.0, 1.5, 2.0}) {
    auto in = problem<real_elementwise>({2, 90, 2, 1, 5}, {}, 81);
    for (double& a : in.a.data) a = g.uniform(-size, size);
    for (int64 t = 0; t < 90; ++t) in.a(0, t, 0, 0) = size, in.a(1, t, 1, 1) = -size;
    in = rounded<real_elementwise, float>(in);
    auto positive = in;  // bounds the sum of the sizes of all terms
    real_elementwise::operands([](const char*, auto& x) { x = magnitude(x); }, positive);
    const auto want = real_elementwise::forward(in), bound = real_elementwise::forward(positive);
    for (const mode& m : modes) {
      SCOPED_TRACE(::testing::Message() << m << " gates up to " << size);
      const auto got = run_forward<real_elementwise, float>(m, in);
      for (std::size_t i = 0; i < got.out.data.size(); ++i)
        ASSERT_LE(std::fabs(got.out.data[i] - want.out.data[i]), 1e-5 * bound.out.data[i]) << i;
    }
  }
}

// contract 3: the product of these gates overflows, the sequence does not
TEST(quality, N19_an_overflowing_product_of_gates_meets_only_zeros) {
  real_elementwise::inputs in;
  in.a = tensor<double>({1, 300, 1, 3}, 2);
  in.x = tensor<double>({1, 300, 1, 3}, 0);
  in.x(0, 297, 0, 1) = 1;
  const auto want = real_elementwise::forward(in);
  auto dout = want;
  dout.final_state = {};
  dout.out = tensor<double>(want.out.shape, 0);
  dout.out(0, 2, 0, 1) = 1;
  const auto gradients = real_elementwise::backward(in, dout);
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    expect_same_results<real_elementwise>(run_forward<real_elementwise, float>(m, in), want);
    const auto got = run_backward<real_elementwise, float>(m, in, dout);
    EXPECT_TRUE(got.x == gradients.x);
  }
}

}  // namespace
