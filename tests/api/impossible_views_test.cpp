// Views and options that cannot be right are refused by name before anything is written.

#include <gtest/gtest.h>

#include <limits>

#include "dense_problem.hpp"

namespace {

using namespace support;
using gatescan::layout, gatescan::recurrent;

template <class R>
class impossible_views : public ::testing::Test {};
using recurrences =
    ::testing::Types<gatescan::elementwise, gatescan::gla, gatescan::selective_scan>;
TYPED_TEST_SUITE(impossible_views, recurrences);

void expect_refused(const std::string& message, const std::string& name, const std::string& got) {
  EXPECT_EQ(message.rfind(name + ": expected ", 0), 0u) << message;
  EXPECT_NE(message.find(got), std::string::npos) << message;
}

template <class View>
auto& pointer_of(View& x) {
  if constexpr (requires { x.re; })
    return x.re;
  else
    return x.data;
}

// f(name, view, call) for every operand, result and gradient, with a call that uses it.
template <class R, class F>
void for_each_view(dense_problem<R>& p, F&& f) {
  const auto forward = [&] { return refusal([&] { p.forward(recurrent{}); }); };
  const auto backward = [&] { return refusal([&] { p.backward(recurrent{}); }); };
  p.for_each_operand([&](const std::string& name, const auto&, auto& x, auto& d) {
    if (!x.given()) return;
    f(name, x, forward);
    f("gradient of " + name, d, backward);
  });
  f(std::string("initial_state"), p.in.initial_state, forward);
  f(std::string("gradient of initial_state"), p.d.initial_state, backward);
  f(std::string("out"), p.out.out, forward);
  f(std::string("final_state"), p.out.final_state, forward);
  f(std::string("gradient of out"), p.d_out.out, backward);
}

TYPED_TEST(impossible_views, a_null_pointer_with_elements) {
  dense_problem<TypeParam> p;
  for_each_view(p, [&](const std::string& name, auto& x, const auto& call) {
    const auto whole = x;
    pointer_of(x) = nullptr;
    expect_refused(call(), name, "at a null pointer");
    x = whole;
  });
  EXPECT_TRUE(p.nothing_written());
}

TYPED_TEST(impossible_views, lists_of_extents_and_strides_of_other_lengths) {
  dense_problem<TypeParam> p;
  for_each_view(p, [&](const std::string& name, auto& x, const auto& call) {
    const auto whole = x;
    x.well_formed = layout({2, 2, 2, 2}, {8, 4, 2}).well_formed;
    expect_refused(call(), name, "lists of another length");
    x = whole;
  });
  EXPECT_TRUE(p.nothing_written());
  EXPECT_FALSE(layout({2, 2}, {4, 2, 1}).well_formed);
  EXPECT_FALSE(layout({1, 1, 1, 1, 1, 1}).well_formed);
  EXPECT_TRUE(layout({2, 2}, {2, 1}).well_formed);
}

// x[i, j] = s[i + j], for every pair of neighbouring axes.
TYPED_TEST(impossible_views, elements_of_a_result_that_share_a_place) {
  dense_problem<TypeParam> p;
  for_each_view(p, [&](const std::string& name, auto& x, const auto& call) {
    if (name == "gradient of out" ||
        std::is_const_v<std::remove_reference_t<decltype(*pointer_of(x))>>)
      return;  // read only
    for (int i = 0; i + 1 < x.rank; ++i) {
      const auto whole = x;
      if (x.shape[i] < 2 || x.shape[i + 1] < 2) continue;
      x.stride[i] = x.stride[i + 1];
      expect_refused(call(), name, "share a place");
      x.stride[i] = -x.stride[i + 1];
      expect_refused(call(), name, "share a place");
      x = whole;
    }
  });
  EXPECT_TRUE(p.nothing_written());
}

TYPED_TEST(impossible_views, offsets_without_memory) {
  dense_problem<TypeParam> p({2, 1, 20, 4, 3, 5});
  p.in.sequence_offsets = {nullptr, {3}};
  expect_refused(refusal([&] { p.forward(recurrent{}); }), "sequence_offsets", "null pointer");
  EXPECT_TRUE(p.nothing_written());
}

TYPED_TEST(impossible_views, sizes_of_modes_below_0) {
  dense_problem<TypeParam> p;
  EXPECT_THROW(p.forward(gatescan::chunked{-3}), std::invalid_argument);
  EXPECT_THROW(p.backward(gatescan::chunked{-1}), std::invalid_argument);
  EXPECT_THROW(p.forward(gatescan::scan{-1}), std::invalid_argument);
  EXPECT_TRUE(p.nothing_written());
}

TEST(impossible_planes, planes_of_a_result_that_share_places) {
  dense_problem<gatescan::elementwise> p({2, 2, 20, 4, 1, 5}, true);
  p.out.out.im = p.out.out.re;
  expect_refused(refusal([&] { p.forward(recurrent{}); }), "out", "planes that overlap");
  EXPECT_TRUE(p.nothing_written());
}

}  // namespace
