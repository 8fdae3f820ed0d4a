// Views with gaps between neighbours, one at a time, where whole registers are in use: the same
// numbers as from dense ones, and nothing in the gaps.

#include <gtest/gtest.h>

#include <cmath>

#include "dense_problem.hpp"

namespace {

using namespace support;
using gatescan::layout;

template <class R>
class views_with_gaps : public ::testing::Test {};
using recurrences = ::testing::Types<gatescan::elementwise, gatescan::gateloop, gatescan::gla,
                                     gatescan::selective_scan>;
TYPED_TEST_SUITE(views_with_gaps, recurrences);

constexpr std::size_t gap = 2;

template <class F>
void in_each_mode(F f) {
  f(gatescan::recurrent{});
  f(gatescan::chunked{});
  f(gatescan::scan{2});
}

// Dense numbers `gap` apart, and the view moved to them.
template <class View>
void spread(View& x, std::vector<double>& memory) {
  std::vector<double> wide(memory.size() * gap, untouched);
  for (std::size_t i = 0; i < memory.size(); ++i) wide[i * gap] = memory[i];
  const auto moved = [&](auto* plane) {
    return plane == nullptr ? nullptr : wide.data() + (plane - memory.data()) * int64{gap};
  };
  for (int i = 0; i < x.rank; ++i) x.stride[i] *= int64{gap};
  if constexpr (requires { x.im; })
    x.re = moved(x.re), x.im = moved(x.im);
  else
    x.data = moved(x.data);
  memory.swap(wide);
}
// What every view holds now; those named were spread.
using contents = std::map<std::string, std::vector<double>>;
void expect_same(const contents& dense, const contents& spread_out, const std::string& which) {
  for (const auto& [name, want] : dense) {
    const auto& got = spread_out.at(name);
    const std::size_t step = name == which ? gap : 1;
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(got[i * step], want[i], 1e-11 * (1 + std::abs(want[i]))) << name << ' ' << i;
      for (std::size_t j = 1; j < step; ++j) ASSERT_EQ(got[i * step + j], untouched) << name;
    }
  }
}

template <class R>
struct problem : dense_problem<R> {
  problem() : dense_problem<R>({2, 2, 20, 2, 3, 64}) {}

  // f(name, view) for every view.
  template <class F>
  void each_view(F&& f) {
    this->for_each_operand([&](const std::string& name, const gatescan::axes&, auto& x, auto& dx) {
      if (x.given()) f(name, x), f("d_" + name, dx);
    });
    f("initial_state", this->in.initial_state), f("d_initial_state", this->d.initial_state);
    f("final_state", this->out.final_state), f("d_final_state", this->d_out.final_state);
    f("out", this->out.out), f("d_out", this->d_out.out);
  }
};

TYPED_TEST(views_with_gaps, give_the_same_numbers) {
  in_each_mode([](const auto& mode) {
    SCOPED_TRACE(mode.name);
    problem<TypeParam> dense;
    dense.forward(mode);
    dense.backward(mode);
    std::vector<std::string> names;
    dense.each_view([&](const std::string& name, auto&) { names.push_back(name); });
    ASSERT_GE(names.size(), 10u);
    for (const std::string& which : names) {
      SCOPED_TRACE(which);
      problem<TypeParam> p;
      p.each_view([&](const std::string& name, auto& x) {
        if (name == which) spread(x, p.memory.at(name));
      });
      p.forward(mode);
      p.backward(mode);
      expect_same(dense.memory, p.memory, which);
    }
  });
}

}  // namespace
