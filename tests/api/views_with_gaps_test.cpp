// Views whose neighbours do not lie side by side, one at a time, where whole registers are in use:
// gaps between numbers, and real and imaginary parts by turns. The same bits as from dense views,
// and nothing in the gaps.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "dense_problem.hpp"

namespace {

using namespace support;

template <class F>
void in_each_mode(F f) {
  f(gatescan::recurrent{});
  f(gatescan::chunked{});
  f(gatescan::scan{2});
  f(gatescan::attention{});
}

template <class R, class T>
struct problem : dense_problem<R, T> {
  explicit problem(bool complex = R::form.number == gatescan::numbers::complex)
      : dense_problem<R, T>({2, 2, 20, 2, 32, 64}, complex) {}

  /// Gradients of what all tokens share: the order of their sums depends on the views.
  std::set<std::string> sums_over_tokens() {
    std::set<std::string> names;
    this->for_each_operand([&](const std::string& name, const gatescan::axes& a, auto&, auto&) {
      bool in_time = false;
      for (int i = 0; i < a.rank; ++i) in_time = in_time || a.of[i] == gatescan::axis::time;
      if (!in_time) names.insert("d_" + name);
    });
    return names;
  }
  // f(name, view) for every view.
  template <class F>
  void each_view(F&& f) {
    this->for_each_operand([&](const std::string& name, const gatescan::axes&, auto& x, auto& dx) {
      if (x.given()) f(name, x), f("d_" + name, dx);
    });
    this->for_each_part([&](const char* part, const gatescan::axes&, bool has_gradient,
                            auto& initial, auto& final, auto& d_initial, auto& d_final) {
      f(part_name("initial_state", part), initial), f(part_name("final_state", part), final);
      if (!has_gradient) return;
      f(part_name("d_initial_state", part), d_initial);
      f(part_name("d_final_state", part), d_final);
    });
    f("out", this->out.out), f("d_out", this->d_out.out);
  }
};

// Moves the numbers of a view to where `place` says, in memory of `size` numbers.
template <class View, class T, class Place>
void move_numbers(View& x, std::vector<T>& memory, std::size_t size, Place place) {
  std::vector<T> moved(size, T(untouched));
  for (std::size_t i = 0; i < memory.size(); ++i)
    if (place(i) < size) moved[place(i)] = memory[i];
  const auto plane = [&](auto* p) {
    return p == nullptr ? nullptr
                        : moved.data() + place(static_cast<std::size_t>(p - memory.data()));
  };
  for (int i = 0; i < x.rank; ++i) x.stride[i] *= 2;
  if constexpr (requires { x.im; })
    x.re = plane(x.re), x.im = plane(x.im);
  else
    x.data = plane(x.data);
  memory.swap(moved);
}

// The problem with each view changed in turn against the one with none changed. change(view,
// memory) returns where the numbers are now, or nothing if it did not change the view.
template <class R, class T, class Change>
void compare(bool complex, Change change) {
  constexpr T rounding = 64 * std::numeric_limits<T>::epsilon();
  in_each_mode([&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    problem<R, T> dense(complex);
    dense.forward(mode);
    dense.backward(mode);
    const auto sums = dense.sums_over_tokens();
    std::vector<std::string> names;
    dense.each_view([&](const std::string& name, auto&) { names.push_back(name); });
    ASSERT_GE(names.size(), 10u);
    for (const std::string& which : names) {
      SCOPED_TRACE(which);
      problem<R, T> p(complex);
      std::function<std::size_t(std::size_t)> place;
      p.each_view([&](const std::string& name, auto& x) {
        if (name == which) place = change(x, p.memory.at(name));
      });
      if (!place) continue;
      p.forward(mode);
      p.backward(mode);
      for (const auto& [name, want] : dense.memory) {
        const auto& got = p.memory.at(name);
        std::vector<bool> expected(got.size(), name != which);
        for (std::size_t i = 0; i < want.size(); ++i) {
          const std::size_t at = name == which ? place(i) : i;
          if (at >= got.size()) continue;
          expected[at] = true;
          const T tolerance = sums.count(name) > 0 ? rounding * (1 + std::abs(want[i])) : 0;
          ASSERT_NEAR(got[at], want[i], tolerance) << name << ' ' << i;
        }
        for (std::size_t i = 0; i < got.size(); ++i)
          ASSERT_TRUE(expected[i] || got[i] == T(untouched)) << name << ", between numbers: " << i;
      }
    }
  });
}

template <class Recurrence, class Format>
struct of {
  using R = Recurrence;
  using T = Format;
};

template <class Case>
class views_with_gaps : public ::testing::Test {};
template <class All>
struct in_both_formats;
template <class... R>
struct in_both_formats<gatescan::type_list<R...>> {
  using type = ::testing::Types<of<R, double>..., of<R, float>...>;
};
using cases = in_both_formats<tested_recurrences>::type;
TYPED_TEST_SUITE(views_with_gaps, cases);

TYPED_TEST(views_with_gaps, give_the_same_bits) {
  using R = typename TypeParam::R;
  using T = typename TypeParam::T;
  compare<R, T>(R::form.number == gatescan::numbers::complex, [](auto& x, std::vector<T>& memory) {
    const auto place = [](std::size_t i) { return 2 * i; };
    move_numbers(x, memory, 2 * memory.size(), place);
    return std::function<std::size_t(std::size_t)>(place);
  });
}

template <class Case>
class views_by_turns : public ::testing::Test {};
using gatescan::elementwise, gatescan::gateloop;
using complex_cases = ::testing::Types<of<elementwise, double>, of<elementwise, float>,
                                       of<gateloop, double>, of<gateloop, float>>;
TYPED_TEST_SUITE(views_by_turns, complex_cases);

TYPED_TEST(views_by_turns, give_the_same_bits) {
  using T = typename TypeParam::T;
  compare<typename TypeParam::R, T>(true, [](auto& x, std::vector<T>& memory) {
    std::function<std::size_t(std::size_t)> place;
    if constexpr (requires { x.im; }) {
      if (x.im != nullptr) {
        const auto plane = static_cast<std::size_t>(x.size());
        place = [plane](std::size_t i) {
          return i < plane ? 2 * i : i < 2 * plane ? 2 * (i - plane) + 1 : i;
        };
        move_numbers(x, memory, memory.size(), place);
      }
    }
    return place;
  });
}

}  // namespace
