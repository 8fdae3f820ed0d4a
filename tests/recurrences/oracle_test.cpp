// The oracle is proved before anything is measured against it: its gradients against dual numbers
// (exact derivatives of the same loops) and central differences in long double. Forward itself:
// oracle_by_hand_test.cpp.
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
TEST(oracle, gradients_of_rwkv4) { check_all<rwkv4>({2, 4, 2, 1, 1}, log_kinds); }
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

}  // namespace
