// The checker of modes finds nothing in the library's recurrences, and what a form promises and its
// members do not keep.
#include <gtest/gtest.h>

#include <cmath>
#include <gatescan/gatescan.hpp>
#include <gatescan/testing/check_modes.hpp>

#include "../support/run.hpp"
#include "tied_problem.hpp"

namespace {

using gatescan::check_modes, gatescan::cpu;

constexpr double enough = 500;

template <class O>
class mode_checker : public ::testing::Test {};
using recurrences = support::every_case<::testing::Types>;
TYPED_TEST_SUITE(mode_checker, recurrences);

TYPED_TEST(mode_checker, agrees_with_the_library) {
  using O = TypeParam;
  support::options c;
  c.group = 2;
  const auto in = support::problem<O>({2, 40, 4, 3, 2}, c, 5);
  const support::prepared<O, double> p(in, {});
  const auto worst = check_modes(cpu{.threads = 1}, p.lib);
  EXPECT_LT(worst.epsilons, enough) << worst.mode << " " << worst.format << " " << worst.result;
  EXPECT_FALSE(worst.result.empty());
}

const tied_problem tied{40};

template <class R>
gatescan::mode_disagreement check() {
  return check_modes(cpu{.threads = 1}, tied.inputs<R>());
}

TEST(mode_checker, agrees_with_a_recurrence_of_the_user) {
  EXPECT_LT(check<own::tied>().epsilons, enough);
}

// tied, saying that all keys of a head have one gate, which they have not
struct one_gate : own::tied {
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::head};
  template <class X>
  struct fields : own::tied::fields<X> {
    using recurrence = one_gate;
  };
  template <class T>
  using inputs = fields<gatescan::input_views<T>>;
};
TEST(mode_checker, finds_a_gate_a_head_that_is_a_key_s) {
  const auto worst = check<one_gate>();
  EXPECT_GT(worst.epsilons, 1e6);
  EXPECT_EQ(worst.format, "double");
  EXPECT_NE(worst.mode, "recurrent{}");
}

// tied, with a logarithm of its gate that is not
struct wrong_log_gate : own::tied {
  template <class X>
  struct fields : own::tied::fields<X> {
    using recurrence = wrong_log_gate;
  };
  template <class T>
  using inputs = fields<gatescan::input_views<T>>;
  GATESCAN_MEMBER bool has_log_gate(const auto&) { return true; }
  GATESCAN_MEMBER auto log_gate(const auto& x, const auto& at) { return -at(x.f) * at(x.f); }
};
TEST(mode_checker, finds_a_logarithm_that_is_not_the_gate_s) {
  const auto worst = check<wrong_log_gate>();
  EXPECT_GT(worst.epsilons, 1e4);
  EXPECT_EQ(worst.format, "float");
}

// tied, with values that are no numbers in float
struct overflowing : own::tied {
  template <class X>
  struct fields : own::tied::fields<X> {
    using recurrence = overflowing;
  };
  template <class T>
  using inputs = fields<gatescan::input_views<T>>;
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    using E = decltype(at(x.v));
    return gatescan::value_of<E>{at(x.v) * E(1e30) * E(1e30) * E(1e-60)};
  }
};
TEST(mode_checker, remembers_what_is_not_a_number) {
  const auto worst = check<overflowing>();
  EXPECT_TRUE(std::isnan(worst.epsilons));
  EXPECT_EQ(worst.format, "float");
}

}  // namespace
