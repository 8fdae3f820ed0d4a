// What does not fit is refused before the first write, by a message that names the operand, what
// was expected and what came: every operand and every gradient of every recurrence, a user's too.

#include <gtest/gtest.h>

#include "dense_problem.hpp"

namespace {

using namespace support;
using gatescan::layout, gatescan::recurrent;
using ::testing::Message;

template <class R>
class errors : public ::testing::Test {};
using recurrences = every_recurrence_and<own::tied, own::best_path, own::rnn>;
TYPED_TEST_SUITE(errors, recurrences);

void expect_message(const std::string& message, const std::string& name, const std::string& got) {
  EXPECT_EQ(message.rfind(name + ": expected ", 0), 0u) << message;
  EXPECT_NE(message.find("got " + got), std::string::npos) << message;
}

TYPED_TEST(errors, an_operand_that_is_missing) {
  dense_problem<TypeParam> p;
  TypeParam::operands(
      [&](const char* name, const gatescan::axes&, gatescan::presence need, auto& x) {
        if (need == gatescan::presence::optional) return;
        const auto whole = x;
        x = {};
        expect_message(refusal([&] { p.forward(recurrent{}); }), name, "nothing");
        x = whole;
      },
      p.in);
  EXPECT_TRUE(p.nothing_written());
  EXPECT_EQ(refusal([&] { p.forward(recurrent{}); }), "");
}

TYPED_TEST(errors, an_operand_or_gradient_with_an_axis_too_many) {
  dense_problem<TypeParam> p;
  p.for_each_operand([&](const std::string& name, const auto&, auto& x, auto& d) {
    if (!x.given()) return;
    const auto check = [&](auto& view, const std::string& named, auto call) {
      const auto whole = view;
      view.shape[view.rank] = 1, view.stride[view.rank++] = 1;
      expect_message(refusal(call), named, gatescan::detail::shape_text(view));
      view = whole;
    };
    check(x, name, [&] { p.forward(recurrent{}); });
    check(d, "gradient of " + name, [&] { p.backward(recurrent{}); });
  });
  EXPECT_TRUE(p.nothing_written());
}

// The size of an axis is the largest of the operands that have it, so a smaller one is to blame.
TYPED_TEST(errors, an_operand_or_gradient_with_an_extent_too_small) {
  dense_problem<TypeParam> p;
  int axes_with[16] = {};
  p.for_each_operand([&](const std::string&, const gatescan::axes& a, auto& x, auto&) {
    for (int i = 0; i < a.rank; ++i) axes_with[static_cast<int>(a.of[i])] += x.given();
  });
  p.for_each_operand([&](const std::string& name, const gatescan::axes& a, auto& x, auto& d) {
    for (int i = 0; x.given() && i < a.rank; ++i) {
      SCOPED_TRACE(Message() << name << " axis " << i);
      const auto whole = x;
      const auto whole_gradient = d;
      x.shape[i] -= 1;
      // where no other operand has the axis, it is the results that do not fit
      const bool alone = axes_with[static_cast<int>(a.of[i])] == 1;
      const std::string message = refusal([&] { p.forward(recurrent{}); });
      if (alone)
        EXPECT_NE(message, "");
      else
        expect_message(message, name, gatescan::detail::shape_text(x));
      x = whole;
      d.shape[i] -= 1;
      expect_message(refusal([&] { p.backward(recurrent{}); }), "gradient of " + name,
                     gatescan::detail::shape_text(d));
      d = whole_gradient;
    }
  });
  EXPECT_TRUE(p.nothing_written());
}

TYPED_TEST(errors, results_and_states_that_do_not_fit) {
  dense_problem<TypeParam> p;
  const auto check = [&](auto& view, const std::string& name, auto call) {
    for (int i = 0; i < view.rank; ++i) {
      const auto whole = view;
      view.shape[i] += 1;
      expect_message(refusal(call), name, gatescan::detail::shape_text(view));
      view = whole;
    }
  };
  const auto forward = [&] { p.forward(recurrent{}); };
  const auto backward = [&] { p.backward(recurrent{}); };
  check(p.out.out, "out", forward);
  check(p.d_out.out, "gradient of out", backward);
  p.for_each_part([&](const char* part, const gatescan::axes&, bool has_gradient, auto& initial,
                      auto& final, auto& d_initial, auto& d_final) {
    check(initial, part_name("initial_state", part), forward);
    check(final, part_name("final_state", part), forward);
    if (!has_gradient) return;
    check(d_final, part_name("gradient of final_state", part), backward);
    check(d_initial, part_name("gradient of initial_state", part), backward);
  });
  p.out.out.stride[1] = 0;  // every token in the same place
  EXPECT_NE(refusal(forward).find("out: expected a stride other than 0 on axis 1"),
            std::string::npos);
  p.out = {};
  EXPECT_NE(refusal(forward).find("out: expected"), std::string::npos);
  EXPECT_TRUE(p.nothing_written());
}

TYPED_TEST(errors, results_that_overlap_operands) {
  dense_problem<TypeParam> p;
  const auto out = p.out;
  p.for_each_operand([&](const std::string& name, const auto&, auto& x, auto& d) {
    if (!x.given() || x.size() < 20) return;
    SCOPED_TRACE(name);
    const auto all = p.memory[name];
    double* const first = p.memory[name].data();
    const std::string apart = "expected memory apart from " + name;
    if constexpr (requires { p.out.out.im; })
      p.out.out.re = first + 1;
    else
      p.out.out.data = first + 1;
    EXPECT_EQ(refusal([&] { p.forward(recurrent{}); }).rfind("out: " + apart, 0), 0u);
    p.out = out;
    const auto whole = d;
    if constexpr (requires { d.im; })
      d.re = first;
    else
      d.data = first;
    EXPECT_NE(refusal([&] { p.backward(recurrent{}); }).find(apart), std::string::npos);
    d = whole;
    EXPECT_EQ(p.memory[name], all);
  });
  EXPECT_TRUE(p.nothing_written());
}

TYPED_TEST(errors, a_gradient_of_an_operand_that_is_not_given) {
  dense_problem<TypeParam> p;
  TypeParam::operands(
      [&](const char* name, const gatescan::axes&, gatescan::presence need, auto& x, auto& d) {
        if (need == gatescan::presence::required || !x.given() || !d.given()) return;
        if (std::string(name) == "log_magnitude") return;  // required without a
        const auto whole = x;
        x = {};
        EXPECT_EQ(refusal([&] { p.backward(recurrent{}); }),
                  "gradient of " + std::string(name) + ": asked for, but the operand is not given");
        x = whole;
      },
      p.in, p.d);
  EXPECT_TRUE(p.nothing_written());
}

TEST(errors, gateloop_wants_one_kind_of_gate) {
  dense_problem<gatescan::gateloop> p;
  p.in.a = p.in.q;
  EXPECT_NE(refusal([&] { p.forward(recurrent{}); }).find("got both"), std::string::npos);
  p.in.log_magnitude = {};
  EXPECT_EQ(refusal([&] { p.forward(recurrent{}); }).rfind("phase: expected", 0), 0u);
  p.in.a = {}, p.in.phase = {};
  EXPECT_NE(refusal([&] { p.forward(recurrent{}); }).find("got neither"), std::string::npos);
  EXPECT_TRUE(p.nothing_written());
}

TEST(errors, complex_results_need_both_planes) {
  dense_problem<gatescan::gateloop> p;
  p.out.final_state.im = nullptr;
  EXPECT_EQ(refusal([&] { p.forward(recurrent{}); }).rfind("final_state: expected a complex", 0),
            0u);
  dense_problem<gatescan::elementwise> e;
  e.in.a = {e.memory["a"].data(), e.memory["x"].data(), e.in.a};
  EXPECT_EQ(refusal([&] { e.forward(recurrent{}); }).rfind("out: expected a complex", 0), 0u);
  EXPECT_TRUE(p.nothing_written() && e.nothing_written());
}

TEST(errors, an_attention_map_of_another_shape) {
  dense_problem<gatescan::gla> p;
  std::vector<double> map(2 * 4 * 20 * 20, untouched);
  const auto call = [&](const gatescan::view<double>& m) {
    return refusal([&] { gatescan::attention_map(gatescan::cpu{}, p.in, m); });
  };
  expect_message(call({map.data(), {2, 4, 20, 19}}), "map", "[2, 4, 20, 19]");
  expect_message(call({map.data(), {4, 20, 20}}), "map", "[4, 20, 20]");
  EXPECT_NE(call({p.memory["q"].data(), {2, 4, 20, 20}}).find("apart from q"), std::string::npos);
  EXPECT_EQ(map, std::vector<double>(map.size(), untouched));
}

}  // namespace
