// The checker of gradients finds nothing in right adjoints and names the operand of a wrong one.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <gatescan/testing/check_gradients.hpp>

#include "../../examples/own_recurrences.hpp"
#include "../support/run.hpp"

namespace {

using gatescan::check_gradients, gatescan::cpu, gatescan::view;

constexpr double enough = 1e-9;

template <class O>
class gradient_checker : public ::testing::Test {};
using recurrences = support::every_case<::testing::Types>;
TYPED_TEST_SUITE(gradient_checker, recurrences);

TYPED_TEST(gradient_checker, agrees_with_the_library) {
  using O = TypeParam;
  support::options c;
  c.group = 2;
  auto in = support::problem<O>({2, 7, 4, 3, 2}, c, 5);
  if constexpr (requires { in.held, in.eps; }) in.eps = 0;  // which counts in units of e^m
  const support::prepared<O, double> p(in, {});
  for (const auto& m : support::modes_of<O>({{support::mode::recurrent, 0},
                                             {support::mode::scan, 2},
                                             {support::mode::chunked, 4},
                                             {support::mode::attention, 0}}))
    support::with_mode<O>(m, [&](auto mode) {
      const auto worst = check_gradients(cpu{.threads = 1}, mode, p.lib);
      EXPECT_LT(worst.error, enough) << m << " " << worst.operand;
      EXPECT_FALSE(worst.operand.empty());
    });
}

std::vector<double> some(std::size_t n, double step) {
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = std::sin(step * static_cast<double>(i + 1));
  return x;
}
constexpr std::int64_t L = 9, H = 2, K = 3, V = 5;
const std::vector<double> q = some(L * H * K, 0.3), f = some(L * H * K, 0.7),
                          v = some(L * H * V, 1.1), first = some(H * K * V, 0.5);

template <class R>
typename R::template inputs<double> tied_inputs() {
  typename R::template inputs<double> in;
  in.q = {q.data(), {1, L, H, K}};
  in.f = {f.data(), {1, L, H, K}};
  in.v = {v.data(), {1, L, H, V}};
  in.initial_state = {first.data(), {1, H, K, V}};
  in.lower = 0.5;
  return in;
}

TEST(gradient_checker, agrees_with_a_recurrence_of_the_user) {
  const auto in = tied_inputs<own::tied>();
  EXPECT_LT(check_gradients(cpu{}, gatescan::recurrent{}, in).error, enough);
  EXPECT_LT(check_gradients(cpu{}, gatescan::chunked{4}, in).error, enough);
}

// the maximum has a kink where two paths meet, but not between these numbers
TEST(gradient_checker, agrees_with_an_operator_and_with_a_step) {
  const own::best_path::inputs<double> path{.d = {v.data(), {1, L, H, V}},
                                            .x = {v.data() + 1, {1, L, H, V - 1}}};
  const auto x = some(L * H * V, 0.2), w = some(H * V, 0.4);
  const own::best_path::inputs<double> smooth{.d = {v.data(), {1, L, H, V}},
                                              .x = {x.data(), {1, L, H, V}}};
  EXPECT_THROW(check_gradients(cpu{}, gatescan::scan{2}, path), gatescan::shape_error);
  EXPECT_LT(check_gradients(cpu{}, gatescan::scan{2}, smooth).error, enough);
  const own::rnn::inputs<double> rnn{.w = {w.data(), {H, V}}, .x = {x.data(), {1, L, H, V}}};
  EXPECT_LT(check_gradients(cpu{}, gatescan::recurrent{}, rnn).error, enough);
}

// tied, with the gate's part of the key's gradient forgotten
struct wrong : own::tied {
  template <class V>
  struct fields : own::tied::fields<V> {
    using recurrence = wrong;
  };
  template <class T>
  using inputs = fields<gatescan::input_views<T>>;
  template <class T>
  using gradients = fields<gatescan::gradient_views<T>>;
  template <class X, class D, class At, class E>
  static void keys_adjoint(const X& x, const D& d, const At& at, const gatescan::keys_of<E>& g) {
    const E slope = gatescan::sigmoid(at(x.f)) * gatescan::sigmoid(-at(x.f));
    at.add(d.q, g.q);
    at.add(d.f, g.gate * E(1 - x.lower) * slope);
  }
};

TEST(gradient_checker, names_the_operand_of_a_wrong_adjoint) {
  const auto worst = check_gradients(cpu{}, gatescan::recurrent{}, tied_inputs<wrong>());
  EXPECT_EQ(worst.operand, "f");
  EXPECT_GT(worst.error, 1e-3);
  EXPECT_GT(std::fabs(worst.by_backward - worst.by_differences), 1e-3);
}

}  // namespace
