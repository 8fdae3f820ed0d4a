// The oracle is proved before anything is measured against it: its gradients against dual numbers
// (exact derivatives of the same loops), central differences in long double, and one hand-made
// case a recurrence for the forward equations themselves.
#include "../support/cases/all.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../support/convert.hpp"
#include "../support/problem.hpp"

namespace {

using namespace support;

// f(component) for the real and the imaginary part of every element
template <class T, class F>
void components(tensor<T>& x, F f) {
  for (T& e : x.data) {
    if constexpr (requires { e.re; }) {
      f(e.re);
      f(e.im);
    } else {
      f(e);
    }
  }
}

// all components of a structure in one list; a gradient of an operand that is absent is left out
template <class O, class S>
auto flat_operands(S& s, const typename O::inputs& given) {
  std::vector<double> r;
  O::operands(
      [&r](const char*, auto& x, const auto& is) {
        if (is.given()) components(x, [&r](const auto& c) { r.push_back(c); });
      },
      s, given);
  return r;
}

// loss = sum of weight times result, over all components
template <class O, class Outputs, class Weights>
auto loss(Outputs& out, Weights& weight) {
  using R = std::decay_t<decltype(re(out.out.data[0]))>;
  R sum{};
  O::results(
      [&sum](const char*, auto& x, auto& w) {
        for (std::size_t i = 0; i < x.data.size(); ++i) {
          if constexpr (requires { w.data[i].re; })
            sum += x.data[i].re * R(w.data[i].re) + x.data[i].im * R(w.data[i].im);
          else if (w.data[i] != 0)
            sum += x.data[i] * R(w.data[i]);
        }
      },
      out, weight);
  return sum;
}

template <class O>
void check_gradients(const sizes& n, const options& c, std::uint64_t seed) {
  SCOPED_TRACE(::testing::Message() << n << " " << c << " seed " << seed);
  auto in = problem<O>(n, c, seed);
  if constexpr (requires { O::hold(in); }) in = O::hold(in);
  const auto weights = random_gradients<O>(O::forward(in), seed + 1);
  auto gradients = O::backward(in, weights);
  const std::vector<double> analytic = flat_operands<O>(gradients, in);
  double scale = 1;
  for (const double g : analytic) scale = std::max(scale, std::fabs(g));

  // dual numbers: d/dx by x + e, one component at a time
  using D = typename rebind<dual<double>, O>::type;
  auto dual_in = convert_inputs<D>(in);
  std::vector<double> exact;
  D::operands(
      [&](const char*, auto& x) {
        components(x, [&](dual<double>& e) {
          e.d = 1;
          auto out = D::forward(dual_in);
          exact.push_back(loss<D>(out, weights).d);
          e.d = 0;
        });
      },
      dual_in);
  ASSERT_EQ(exact.size(), analytic.size());
  for (std::size_t i = 0; i < exact.size(); ++i)
    EXPECT_NEAR(exact[i], analytic[i], 1e-13 * scale) << "component " << i;

  // central differences in long double; a log gate of -inf has no neighbours
  using W = typename rebind<long double, O>::type;
  auto wide_in = convert_inputs<W>(in);
  std::vector<double> differences;
  W::operands(
      [&](const char*, auto& x) {
        components(x, [&](long double& e) {
          const long double was = e, step = 1e-6L;
          e = was + step;
          auto out = W::forward(wide_in);
          const long double up = loss<W>(out, weights);
          e = was - step;
          out = W::forward(wide_in);
          const long double down = loss<W>(out, weights);
          e = was;
          differences.push_back(static_cast<double>((up - down) / (2 * step)));
        });
      },
      wide_in);
  ASSERT_EQ(differences.size(), analytic.size());
  for (std::size_t i = 0; i < differences.size(); ++i)
    EXPECT_NEAR(differences[i], analytic[i], 1e-8 * scale) << "component " << i;
}

template <class O>
void check_all(sizes n, std::vector<gates> kinds) {
  std::uint64_t seed = 11;
  for (const gates gate : kinds)
    for (const bool initial : {false, true})
      for (const int64 sequences : {0, 3})
        for (const int64 group : {1, 2})
          for (unsigned switches = 0; switches < 1u << switch_count<O>; ++switches) {
            options c;
            c.gate = gate;
            c.initial_state = initial;
            c.sequences = sequences;
            c.group = group;
            n.B = sequences > 0 ? 1 : 2;
            turn_all<O>(c, switches);
            check_gradients<O>(n, c, seed++);
            if (::testing::Test::HasFailure()) return;
          }
}

const std::vector<gates> log_kinds{gates::mild, gates::one, gates::strong, gates::resets};
const std::vector<gates> linear_kinds{gates::mild, gates::one, gates::signs, gates::resets};

TEST(oracle, gradients_of_real_elementwise) {
  check_all<real_elementwise>({2, 5, 2, 1, 2}, linear_kinds);
}
TEST(oracle, gradients_of_complex_elementwise) {
  check_all<complex_elementwise>({2, 4, 2, 1, 1}, linear_kinds);
}
TEST(oracle, gradients_of_gateloop) { check_all<gateloop>({2, 3, 2, 2, 1}, log_kinds); }
TEST(oracle, gradients_of_gla) { check_all<gla>({2, 3, 2, 2, 2}, log_kinds); }
TEST(oracle, gradients_of_selective_scan) { check_all<selective_scan>({2, 3, 2, 2, 1}, log_kinds); }
TEST(oracle, gradients_of_mamba2) { check_all<mamba2>({2, 2, 2, 2, 2}, log_kinds); }
TEST(oracle, gradients_of_rwkv7) { check_all<rwkv7>({2, 3, 2, 2, 2}, log_kinds); }
TEST(oracle, gradients_of_rwkv6) { check_all<rwkv6>({2, 3, 2, 2, 2}, log_kinds); }
TEST(oracle, gradients_of_gated_delta_net) {
  check_all<gated_delta_net>({2, 3, 2, 2, 2}, log_kinds);
}
TEST(oracle, gradients_of_retention) { check_all<retention>({2, 3, 2, 2, 2}, log_kinds); }
TEST(oracle, gradients_of_hgrn) { check_all<hgrn>({2, 4, 2, 1, 2}, log_kinds); }
TEST(oracle, gradients_of_hgrn2) { check_all<hgrn2>({2, 3, 2, 2, 2}, log_kinds); }
TEST(oracle, gradients_of_min_gru) { check_all<min_gru>({2, 4, 2, 1, 2}, log_kinds); }
TEST(oracle, gradients_of_min_lstm) { check_all<min_lstm>({2, 4, 2, 1, 2}, log_kinds); }
TEST(oracle, gradients_of_linear_attention) {
  check_all<linear_attention>({2, 4, 2, 2, 2}, {gates::mild});
}
TEST(oracle, gradients_of_mlstm) { check_all<mlstm>({2, 3, 2, 2, 2}, log_kinds); }
TEST(oracle, gradients_of_aaren) {
  check_all<aaren>({2, 4, 2, 1, 2}, {gates::mild, gates::resets});
}
// A gate of 1 has no slope, one near it a bounded one.
TEST(oracle, gradients_of_rg_lru) {
  check_all<rg_lru>({2, 4, 2, 1, 2}, {gates::mild, gates::strong, gates::resets});
}

// three steps with distinct primes: which gate meets which state (S1)
TEST(oracle, elementwise_by_hand) {
  real_elementwise::inputs in;
  in.a = tensor<double>({1, 3, 1, 1});
  in.a.data = {2, 3, 5};
  in.x = tensor<double>({1, 3, 1, 1});
  in.x.data = {7, 11, 13};
  in.initial_state = tensor<double>({1, 1, 1}, 17);
  const auto out = real_elementwise::forward(in);
  EXPECT_EQ(out.out.data, (std::vector<double>{41, 134, 683}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{683}));
}

TEST(oracle, gateloop_by_hand) {
  gateloop::inputs in;
  using c = cplx<double>;
  in.q = tensor<c>({1, 2, 1, 1});
  in.q.data = {c(2, 1), c(0, 3)};
  in.k = tensor<c>({1, 2, 1, 1});
  in.k.data = {c(1, 1), c(5, -1)};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {7, 2};
  in.a = tensor<c>({1, 2, 1, 1});
  in.a.data = {c(9, 9), c(0, 2)};
  const auto out = gateloop::forward(in);
  // S_1 = 7 + 7i; S_2 = 2i (7 + 7i) + 10 - 2i = -4 + 12i; q S: 7 + 21i, -36 - 12i
  EXPECT_EQ(out.out.data, (std::vector<double>{7, -36}));
  EXPECT_EQ(out.final_state.data, (std::vector<c>{c(-4, 12)}));
}

TEST(oracle, gla_by_hand) {
  gla::inputs in;
  in.q = tensor<double>({1, 2, 1, 2});
  in.q.data = {2, 3, 5, 7};
  in.k = tensor<double>({1, 2, 1, 2});
  in.k.data = {11, 13, 17, 19};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {1, 2};
  in.log_decay = tensor<double>({1, 2, 1, 2});
  in.log_decay.data = {-1, -1, 0, -std::numeric_limits<double>::infinity()};
  in.scale = 0.5;
  const auto out = gla::forward(in);  // S = (11, 13), then (11 + 34, 38)
  EXPECT_EQ(out.out.data, (std::vector<double>{30.5, 245.5}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{45, 38}));
}

TEST(oracle, selective_scan_by_hand) {
  selective_scan::inputs in;
  in.u = tensor<double>({1, 2, 1});
  in.u.data = {3, 5};
  in.delta = tensor<double>({1, 2, 1});
  in.delta.data = {2, 7};
  in.A = tensor<double>({1, 1}, 0);
  in.B = tensor<double>({1, 2, 1, 1});
  in.B.data = {11, 13};
  in.C = tensor<double>({1, 2, 1, 1});
  in.C.data = {17, 19};
  in.D = tensor<double>({1}, 23);
  const auto out = selective_scan::forward(in);  // h = 66, then 66 + 455
  EXPECT_EQ(out.out.data, (std::vector<double>{17 * 66 + 69, 19 * 521 + 115}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{521}));
  in.z = tensor<double>({1, 2, 1}, 0);
  EXPECT_EQ(selective_scan::forward(in).out.data, (std::vector<double>{0, 0}));
}

TEST(oracle, mamba2_by_hand) {
  mamba2::inputs in;
  in.x = tensor<double>({1, 2, 1, 2});
  in.x.data = {3, 5, 7, 11};
  in.dt = tensor<double>({1, 2, 1});
  in.dt.data = {2, 4};
  in.most_dt = 3;
  in.A = tensor<double>({1}, 0);
  in.B = tensor<double>({1, 2, 1, 1});
  in.B.data = {13, 17};
  in.C = tensor<double>({1, 2, 1, 1});
  in.C.data = {19, 23};
  in.D = tensor<double>({1, 1}, 29);
  const auto out = mamba2::forward(in);  // S = 26 (3, 5), then that + 51 (7, 11)
  EXPECT_EQ(out.out.data, (std::vector<double>{1569, 2615, 10208, 16212}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{435, 691}));
  in.z = tensor<double>({1, 2, 1, 2}, 0);
  EXPECT_EQ(mamba2::forward(in).out.data, (std::vector<double>{0, 0, 0, 0}));
}

TEST(oracle, rwkv6_by_hand) {
  rwkv6::inputs in;
  in.r = tensor<double>({1, 2, 1, 1});
  in.r.data = {2, 3};
  in.k = tensor<double>({1, 2, 1, 1});
  in.k.data = {5, 7};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {11, 13};
  in.w = tensor<double>({1, 2, 1, 1});
  in.w.data = {0, -std::numeric_limits<double>::infinity()};
  in.u = tensor<double>({1, 1}, 17);
  in.initial_state = tensor<double>({1, 1, 1, 1}, 19);
  in.scale = 0.5;
  const auto out = rwkv6::forward(in);  // 19 + 17 55 is read, S = 74; 74 + 17 91 is read, S = 91
  EXPECT_EQ(out.out.data, (std::vector<double>{954, 2431.5}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{91}));
}

TEST(oracle, rwkv7_by_hand) {
  rwkv7::inputs in;
  in.r = tensor<double>({1, 2, 1, 2});
  in.r.data = {1, 10, 2, 3};
  in.w = tensor<double>({1, 2, 1, 2});
  in.w.data = {0, -std::numeric_limits<double>::infinity(), 0, 0};
  in.k = tensor<double>({1, 2, 1, 2});
  in.k.data = {1, 2, 0, 1};
  in.a = tensor<double>({1, 2, 1, 2});
  in.a.data = {1, 1, 1, 0};
  in.b = tensor<double>({1, 2, 1, 2});
  in.b.data = {-1, 3, 0, 2};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {7, 11};
  in.initial_state = tensor<double>({1, 1, 2, 1});
  in.initial_state.data = {3, 5};
  in.scale = 0.5;
  const auto out = rwkv7::forward(in);  // 8 is read, S = (2, 38); 2 is, S = (2, 53)
  EXPECT_EQ(out.out.data, (std::vector<double>{191, 81.5}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{2, 53}));
}

TEST(oracle, gated_delta_net_by_hand) {
  gated_delta_net::inputs in;
  in.q = tensor<double>({1, 2, 1, 2});
  in.q.data = {11, 13, 1, 5};
  in.k = tensor<double>({1, 2, 1, 2});
  in.k.data = {1, 2, 2, 1};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {7, 3};
  in.beta = tensor<double>({1, 2, 1});
  in.beta.data = {0.5, 2};
  in.log_decay = tensor<double>({1, 2, 1, 2});
  in.log_decay.data = {0, 0, -std::numeric_limits<double>::infinity(), 0};
  in.initial_state = tensor<double>({1, 1, 2, 1});
  in.initial_state.data = {3, 5};
  in.scale = 0.5;
  const auto out = gated_delta_net::forward(in);  // 13 is stored, S = (0, -1); -1 is, S = (16, 7)
  EXPECT_EQ(out.out.data, (std::vector<double>{-6.5, 25.5}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{16, 7}));
  in.normalise = true, in.eps = 4;  // k = (1, 2) / 3: 13 / 3 is stored
  in.log_decay = {};
  EXPECT_NEAR(gated_delta_net::forward(in).out.data[0] * std::sqrt(11 * 11 + 13 * 13 + 4.0),
              0.5 * (11 * (3 + 4.0 / 9) + 13 * (5 + 8.0 / 9)), 1e-12);
}

TEST(oracle, hgrn2_by_hand) {
  hgrn2::inputs in;
  in.q = tensor<double>({1, 2, 1, 1});
  in.q.data = {2, 3};
  in.f = tensor<double>({1, 2, 1, 1});
  in.f.data = {0, std::log(3.0)};
  in.i = tensor<double>({1, 2, 1, 1});
  in.i.data = {8, 16};
  in.lower_bound = tensor<double>({1, 1}, 0.5);
  in.initial_state = tensor<double>({1, 1, 1, 1}, 4);
  const auto out = hgrn2::forward(in);  // gates 3/4 and 7/8: S = 3 + 2, then 35/8 + 2
  EXPECT_NEAR(out.out.data[0], 10, 1e-14);
  EXPECT_NEAR(out.out.data[1], 19.125, 1e-14);
}

TEST(oracle, retention_by_hand) {
  retention::inputs in;
  in.q = tensor<double>({1, 2, 1, 1});
  in.q.data = {2, 3};
  in.k = tensor<double>({1, 2, 1, 1});
  in.k.data = {5, 7};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {11, 13};
  in.log_decay = tensor<double>({1}, std::log(0.5));
  in.scale = 0.5;
  const auto out = retention::forward(in);  // S = 55, then 27.5 + 91
  EXPECT_NEAR(out.out.data[0], 55, 1e-13);
  EXPECT_NEAR(out.out.data[1], 177.75, 1e-13);
}

// gates 1/4, then a reset
TEST(oracle, channels_with_gates_of_preactivations_by_hand) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const double third = std::log(3.0);
  const auto numbers = [](double first, double second) {
    tensor<double> x({1, 2, 1, 1});
    x.data = {first, second};
    return x;
  };
  const auto expect = [](const tensor<double>& out, double first, double second) {
    EXPECT_NEAR(out.data[0], first, 1e-14);
    EXPECT_NEAR(out.data[1], second, 1e-14);
  };
  hgrn::inputs decays;
  decays.x = numbers(7, 5);
  decays.log_decay = numbers(std::log(0.25), -inf);
  decays.initial_state = tensor<double>({1, 1, 1}, 4);
  expect(hgrn::forward(decays).out, 8, 5);
  min_gru::inputs gru;
  gru.z = numbers(third, inf);
  gru.h = numbers(1.5, -third);  // candidates 2 and 1/4
  gru.initial_state = decays.initial_state;
  expect(min_gru::forward(gru).out, 2.5, 0.25);
  min_lstm::inputs lstm;
  lstm.f = numbers(-std::log(4.0), -inf);  // 1/5 and 3/5 are a quarter and three quarters
  lstm.i = numbers(std::log(1.5), 0);
  lstm.h = gru.h;
  lstm.initial_state = decays.initial_state;
  expect(min_lstm::forward(lstm).out, 2.5, 0.25);
  rg_lru::inputs lru;
  lru.Lambda = tensor<double>({1, 1}, std::log(15.0));  // 8 log 16 log 2
  lru.r = numbers(-std::log(15.0), inf);                // sigmoids 1/16 and 1: gates 1/4 and 2^-32
  lru.i = numbers(0, inf);
  lru.x = numbers(6, 5);
  lru.initial_state = decays.initial_state;
  expect(rg_lru::forward(lru).out, 1 + 3 * std::sqrt(15.0) / 4,
         5 * std::sqrt(1 - std::ldexp(1.0, -64)) + std::ldexp(1 + 3 * std::sqrt(15.0) / 4, -32));
}

// a reset selects: neither Inf nor NaN of before comes through, forward or backward
TEST(oracle, resets_leave_out_what_came_before) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  real_elementwise::inputs in;
  in.a = tensor<double>({1, 3, 1, 1});
  in.a.data = {1, 0, 0.5};
  in.x = tensor<double>({1, 3, 1, 1});
  in.x.data = {nan, 4, 1};
  auto out = real_elementwise::forward(in);
  EXPECT_EQ(out.out.data[1], 4);
  EXPECT_EQ(out.out.data[2], 3);
  in.x.data = {2, 4, 1};
  out = real_elementwise::forward(in);
  out.out.data = {1, nan, 1};
  out.final_state.data = {0};
  const auto d = real_elementwise::backward(in, out);
  EXPECT_EQ(d.x.data[0], 1);
  EXPECT_EQ(d.x.data[2], 1);
}

}  // namespace
