// step: one token at a time, the state in the caller's hands, the same bits as recurrent mode.
#include <gtest/gtest.h>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

template <class O>
class step : public ::testing::Test {};
using recurrences = every_case<::testing::Types>;
TYPED_TEST_SUITE(step, recurrences);

// token t of a tensor, without the time axis
template <class T>
tensor<T> token(const tensor<T>& x, int64 t) {
  if (!x.given()) return {};
  tensor<T> r = slice(x, t, t + 1);
  r.shape.erase(r.shape.begin() + 1);
  return r;
}
template <class O>
typename O::inputs token_inputs(typename O::inputs in, int64 t) {
  O::operands(
      [t](const char* name, auto& x) {
        if (has_time<O>(name)) x = token(x, t);
      },
      in);
  in.initial_state = {};
  return in;
}

template <class O, class T>
void check_steps(const sizes& n, const options& c, int threads) {
  const auto in = rounded<O, T>(problem<O>(n, c, 170));
  const auto want = run_forward<O, T>({mode::recurrent, 0}, in);
  constexpr bool complex_out = requires { want.out.data[0].re; };
  constexpr bool complex_state = requires { want.final_state.data[0].re; };
  stored<gatescan::state_t<T>> state(want.final_state.shape, complex_state, layouts::dense,
                                     poison_nan);
  auto first = in.initial_state;
  if (!first.given()) first = O::blank(in).final_state;
  state.write(first);
  for (int64 t = 0; t < n.L; ++t) {
    prepared<O, T> p(token_inputs<O>(in, t), {});
    const auto expected = token(want.out, t);
    auto out = room<gatescan::storage_t<T>>(expected, complex_out, {});
    gatescan::step(gatescan::cpu{.threads = threads}, p.lib, state, out);
    auto got = expected;
    out.read(got);
    ASSERT_TRUE(same_bits(got, expected)) << "token " << t;
    ASSERT_TRUE(out.guards_intact());
    ASSERT_TRUE(state.guards_intact());
  }
  auto last = want.final_state;
  state.read(last);
  EXPECT_TRUE(same_bits(last, want.final_state));
}

TYPED_TEST(step, S10_steps_are_the_recurrent_mode_bit_for_bit) {
  using O = TypeParam;
  for (const bool variant : {false, true})
    for (const int threads : {1, 3}) {
      options c;
      c.gate = gates::mixed;
      c.initial_state = variant;
      turn<O>(c, {"linear_gate", "D", "softplus"}, variant);
      turn<O>(c, {"head_gate", "z", "delta_bias"}, !variant);
      c.group = variant ? 2 : 1;
      check_steps<O, float>({2, 25, 4, 5, 3}, c, threads);
      check_steps<O, double>({2, 25, 4, 16, 9}, c, threads);
      check_steps<O, gatescan::bf16>({1, 9, 2, 3, 17}, c, threads);
      check_steps<O, gatescan::wide<float>>({1, 9, 2, 3, 17}, c, threads);
    }
}

TEST(quality, T3_step_refuses_what_does_not_fit) {
  const auto in = token_inputs<gla>(problem<gla>({2, 3, 4, 5, 6}, {}, 171), 1);
  prepared<gla, float> p(in, {});
  std::vector<float> state(2 * 4 * 5 * 6, 1), out(2 * 4 * 6, 2);
  using gatescan::view;
  const gatescan::cpu cpu{.threads = 1};
  const view<float> good_state(state.data(), {2, 4, 5, 6}), good_out(out.data(), {2, 4, 6});
  const auto refused = [&](const auto& token, const view<float>& s, const view<float>& o) {
    EXPECT_THROW(gatescan::step(cpu, token, s, o), gatescan::shape_error);
    EXPECT_EQ(state, std::vector<float>(state.size(), 1));
    EXPECT_EQ(out, std::vector<float>(out.size(), 2));
  };
  refused(p.lib, {}, good_out);
  refused(p.lib, {state.data(), {2, 4, 6, 5}}, good_out);
  refused(p.lib, {state.data(), {1, 4, 5, 6}}, good_out);
  refused(p.lib, good_state, {out.data(), {2, 6, 4}});
  refused(p.lib, good_state, {state.data(), {2, 4, 6}});
  auto token = p.lib;
  token.k.shape[2] = 4;
  refused(token, good_state, good_out);
}

}  // namespace
