// States of several parts: all of them come or none, and an error names the one at fault.
#include <gtest/gtest.h>

#include "dense_problem.hpp"

namespace {

using namespace support;
using gatescan::cpu, gatescan::linear_attention, gatescan::mlstm, gatescan::recurrent,
    gatescan::view;

TEST(state_parts, come_together) {
  dense_problem<mlstm> p;
  const auto forward = [&] { return refusal([&] { p.forward(recurrent{}); }); };
  const std::string matrix = "[sequences, heads, keys, values]", row = "[sequences, heads, keys]",
                    number = "[sequences, heads]";
  const auto check = [&](auto& part, const std::string& name, const std::string& axes) {
    const auto whole = part;
    part = {};
    EXPECT_EQ(forward(), name + ": expected " + axes + " beside the other parts, got nothing");
    part = whole;
  };
  check(p.in.initial_state.C, "initial_state.C", matrix);
  check(p.in.initial_state.n, "initial_state.n", row);
  check(p.in.initial_state.m, "initial_state.m", number);
  check(p.out.final_state.C, "final_state.C", matrix);
  check(p.out.final_state.n, "final_state.n", row);
  check(p.out.final_state.m, "final_state.m", number);
  EXPECT_TRUE(p.nothing_written());
  p.in.initial_state = {}, p.out.final_state = {};
  EXPECT_EQ(forward(), "");
}

TEST(state_parts, a_fixed_part_has_no_gradient) {
  dense_problem<mlstm> p;
  const auto backward = [&] { return refusal([&] { p.backward(recurrent{}); }); };
  p.d.initial_state.m = p.out.final_state.m;
  EXPECT_EQ(backward(),
            "gradient of initial_state.m: expected none (gradients are those at a fixed m), got "
            "one");
  p.d.initial_state.m = {};
  p.d_out.final_state.m = p.in.initial_state.m;
  EXPECT_EQ(backward(),
            "gradient of final_state.m: expected none (gradients are those at a fixed m), got one");
  p.d_out.final_state.m = {};
  EXPECT_TRUE(p.nothing_written());
  // of the others any may be asked for, and any given
  p.d.initial_state.C = {}, p.d_out.final_state.n = {};
  EXPECT_EQ(backward(), "");
}

TEST(state_parts, a_normaliser_where_nothing_is_normalised) {
  dense_problem<linear_attention> p;
  p.in.normalise = false;
  const std::string none = ": expected none where nothing is normalised, got one";
  EXPECT_EQ(refusal([&] { p.forward(recurrent{}); }), "initial_state.n" + none);
  p.in.initial_state.n = {};
  EXPECT_EQ(refusal([&] { p.forward(recurrent{}); }), "final_state.n" + none);
  p.out.final_state.n = {};
  EXPECT_EQ(refusal([&] { p.backward(recurrent{}); }), "gradient of final_state.n" + none);
  p.d_out.final_state.n = {};
  EXPECT_EQ(refusal([&] { p.backward(recurrent{}); }), "gradient of initial_state.n" + none);
  EXPECT_TRUE(p.nothing_written());
  p.d.initial_state.n = {};
  EXPECT_EQ(refusal([&] { p.forward(recurrent{}), p.backward(recurrent{}); }), "");
}

TEST(state_parts, share_no_memory_but_with_themselves) {
  dense_problem<mlstm> p;
  auto& final = p.out.final_state;
  const auto forward = [&] { return refusal([&] { p.forward(recurrent{}); }); };
  const auto whole = final;
  final.n.data = final.C.data;
  EXPECT_EQ(forward(),
            "final_state.C: expected memory apart from final_state.n, got views that "
            "overlap");
  final = whole;
  final.n.data = p.memory["initial_state.C"].data();
  EXPECT_EQ(forward(),
            "final_state.n: expected memory apart from initial_state.C, got views that "
            "overlap");
  final = whole;
  final.n.data = p.memory["initial_state.n"].data();  // advanced in place
  EXPECT_EQ(forward(), "");
}

TEST(state_parts, step_wants_all_of_them) {
  constexpr std::int64_t K = 3, V = 5;
  std::vector<double> q(K, 1), v(V, 1), gate{1}, C(K * V), n(K), m{-1}, out(V, untouched);
  const mlstm::token<double> token{.q = {q.data(), {1, 1, K}},
                                   .k = {q.data(), {1, 1, K}},
                                   .v = {v.data(), {1, 1, V}},
                                   .i = {gate.data(), {1, 1}},
                                   .f = {gate.data(), {1, 1}}};
  const mlstm::state<double> state{
      .C = {C.data(), {1, 1, K, V}}, .n = {n.data(), {1, 1, K}}, .m = {m.data(), {1, 1}}};
  const auto step = [&](const mlstm::state<double>& s) {
    return refusal([&] { gatescan::step(cpu{}, token, s, view<double>(out.data(), {1, 1, V})); });
  };
  EXPECT_EQ(step({.C = state.C, .n = state.n}),
            "state.m: expected [sequences, heads], got nothing");
  EXPECT_EQ(step({.C = state.C, .m = state.m}),
            "state.n: expected [sequences, heads, keys], got nothing");
  EXPECT_EQ(out[0], untouched);
  EXPECT_EQ(step(state), "");
  EXPECT_EQ(m[0], 1);            // i, which is larger than log sigmoid(f) + m
  EXPECT_DOUBLE_EQ(n[0], 1);     // e^(i - m) k
  EXPECT_NEAR(out[0], 1, 1e-6);  // 3 / (3 + eps)
}

}  // namespace
