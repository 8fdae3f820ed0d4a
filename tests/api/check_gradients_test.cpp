// The checker of gradients finds nothing in right adjoints and names the operand of a wrong one.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <gatescan/testing/check_gradients.hpp>

#include "../support/run.hpp"
#include "tied_problem.hpp"

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

const tied_problem tied{9};
constexpr auto H = tied_problem::H, V = tied_problem::V;
const auto L = tied.L;
const auto& v = tied.v;

TEST(gradient_checker, agrees_with_a_recurrence_of_the_user) {
  const auto in = tied.inputs<own::tied>();
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
  const auto worst = check_gradients(cpu{}, gatescan::recurrent{}, tied.inputs<wrong>());
  EXPECT_EQ(worst.operand, "f");
  EXPECT_GT(worst.error, 1e-3);
  EXPECT_GT(std::fabs(worst.by_backward - worst.by_differences), 1e-3);
}

}  // namespace
