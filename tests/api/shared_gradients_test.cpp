// Operands and gradients that are shared: a gradient view with strides of 0 receives the sum over
// those axes, an operand of fewer heads is read by a group of them and its gradient is the sum over
// the group. Every operand of every recurrence and the initial state, any choice of axes, in two
// modes that store gradients differently.

#include <gtest/gtest.h>

#include <cmath>

#include "dense_problem.hpp"

namespace {

using namespace support;
using gatescan::axis, gatescan::layout;

template <class R>
class shared_gradients : public ::testing::Test {};
using recurrences = every_recurrence_and<own::tied, own::best_path, own::rnn>;
TYPED_TEST_SUITE(shared_gradients, recurrences);

// f(row-major number, offset by the strides) for every element
template <class F>
void each(const layout& x, F f) {
  for (int64 number = 0; number < x.size(); ++number) {
    int64 rest = number, at = 0;
    for (int i = x.rank - 1; i >= 0; --i) {
      at += rest % x.shape[i] * x.stride[i];
      rest /= x.shape[i];
    }
    f(static_cast<std::size_t>(number), static_cast<std::size_t>(at));
  }
}
// The places of dense memory where planes begin: one, or two of complex numbers.
template <class View>
std::vector<std::size_t> planes(const View& x, const layout& dense) {
  if constexpr (requires { x.im; })
    if (x.im != nullptr) return {0, static_cast<std::size_t>(dense.size())};
  return {0};
}

template <class R, class F>
void in_each_mode(F f) {
  f(gatescan::recurrent{});
  if constexpr (gatescan::attention_form<R>) f(gatescan::chunked{7});
  if constexpr (gatescan::scannable<R>) f(gatescan::scan{2});
}

void expect_near(const std::vector<double>& got, const std::vector<double>& want) {
  for (std::size_t i = 0; i < want.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= 1e-11 * (1 + std::abs(want[i])))) {
      ADD_FAILURE() << "element " << i << ": got " << got[i] << ", expected " << want[i];
      return;
    }
}

TYPED_TEST(shared_gradients, a_stride_of_0_gets_the_sum) {
  in_each_mode<TypeParam>([](const auto& mode) {
    dense_problem<TypeParam> p;
    p.backward(mode);
    const auto whole = p.memory;
    const auto sum_over_axes = [&](const std::string& name, const auto& x, auto& d) {
      if (!x.given()) return;
      for (int chosen = 1; chosen < 1 << d.rank; ++chosen) {  // a bit an axis
        SCOPED_TRACE(::testing::Message() << mode.name << " " << name << " axes " << chosen);
        const auto dense = d;
        const auto& each_one = whole.at("d_" + name);
        auto& sum = p.memory["d_" + name];
        for (int axis = 0; axis < d.rank; ++axis)
          if (chosen >> axis & 1) d.stride[axis] = 0;
        std::vector<double> want(sum.size(), untouched);
        for (const std::size_t plane : planes(d, dense)) {
          each(d, [&](std::size_t, std::size_t at) { want[plane + at] = 0; });
          each(d, [&](std::size_t n, std::size_t at) { want[plane + at] += each_one[plane + n]; });
        }
        sum.assign(sum.size(), untouched);
        p.backward(mode);
        expect_near(sum, want);
        d = dense;
      }
    };
    p.for_each_operand(
        [&](const std::string& name, const auto&, auto& x, auto& d) { sum_over_axes(name, x, d); });
    p.for_each_part([&](const char* part, const gatescan::axes&, bool has_gradient, auto& initial,
                        auto&, auto& d_initial, auto&) {
      if (has_gradient) sum_over_axes(part_name("initial_state", part), initial, d_initial);
    });
  });
}

// Every second head repeats the one before it, once written out and once as a view of the first of
// each two.
TYPED_TEST(shared_gradients, a_group_of_heads_gets_the_sum) {
  in_each_mode<TypeParam>([](const auto& mode) {
    int checked = 0, with_heads = 0;
    dense_problem<TypeParam> p;
    p.for_each_operand([&](const std::string& name, const gatescan::axes& a, auto& x, auto& d) {
      with_heads += a.has(axis::head) || a.has(axis::group);
      int head = 0;
      while (head < a.rank && a.of[head] != axis::head && a.of[head] != axis::group) ++head;
      if (!x.given() || head == a.rank) return;
      SCOPED_TRACE(::testing::Message() << mode.name << " " << name);
      ++checked;
      const auto dense = x;
      const auto dense_gradient = d;
      const auto first_of_two = [head](auto view) {
        view.shape[head] /= 2, view.stride[head] *= 2;
        return view;
      };
      const layout group = first_of_two(dense);
      const auto next = static_cast<std::size_t>(dense.stride[head]);
      for (const std::size_t plane : planes(x, dense))
        each(group, [&](std::size_t, std::size_t at) {
          p.memory[name][plane + at + next] = p.memory[name][plane + at];
        });
      p.forward(mode), p.backward(mode);
      const auto whole = p.memory;

      x = first_of_two(x), d = first_of_two(d);
      std::vector<double>& sum = p.memory["d_" + name];
      sum.assign(sum.size(), untouched);
      p.forward(mode), p.backward(mode);
      EXPECT_EQ(p.memory["out"], whole.at("out"));
      std::vector<double> want(sum.size(), untouched);
      for (const std::size_t plane : planes(d, dense))
        each(group, [&](std::size_t, std::size_t at) {
          const auto& each_one = whole.at("d_" + name);
          want[plane + at] = each_one[plane + at] + each_one[plane + at + next];
        });
      expect_near(sum, want);
      x = dense, d = dense_gradient;
    });
    EXPECT_TRUE(checked > 0 || with_heads == 0);
  });
}

}  // namespace
