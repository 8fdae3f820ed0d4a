// M3, T3: what does not fit, or overlaps, is refused by a message that names it, before the first
// write.
#include <gtest/gtest.h>

#include "../support/everything.hpp"

namespace {

using namespace support;
using gatescan::view;

const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 16}, {mode::attention, 0}};

// f(the product's part of a state, which may be the state)
template <class R, class State, class F>
State with_product(State state, F f) {
  gatescan::detail::for_each_part<R>(
      [&](gatescan::state_part which, const char*, const gatescan::axes&, auto& x) {
        if (which == gatescan::state_part::product) x = f(x);
      },
      state);
  return state;
}

template <class O>
class refusals : public ::testing::Test {};
using recurrences = every_case<::testing::Types>;
TYPED_TEST_SUITE(refusals, recurrences);

// M6, T3: too little scratch is an error, before anything is written
TYPED_TEST(refusals, a_workspace_too_small_is_refused) {
  using O = TypeParam;
  everything<O, float> e(problem<O>({2, 100, 2, 5, 3}, options{}, 91));
  for (const mode& m : modes_of<O>(modes))
    with_mode<O>(m, [&](auto chosen) {
      const gatescan::plan plan(gatescan::cpu{.threads = 1}, chosen,
                                problem_of<recurrence_of<O>>(e.inputs.lib));
      workspace w(1, poison_nan);
      const auto out = e.out, state = e.state;
      EXPECT_THROW(plan.forward(e.inputs.lib, e.results, {w.span()}), gatescan::workspace_error)
          << m;
      EXPECT_THROW(plan.backward(e.inputs.lib, e.output_gradients, e.gradients, {w.span()}),
                   gatescan::workspace_error)
          << m;
      EXPECT_TRUE(e.out.same_bytes(out));
      EXPECT_TRUE(e.state.same_bytes(state));
    });
}

// M3: memory that a result shares with anything else is refused
TEST(quality, M3_overlaps_are_refused_before_the_first_write) {
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    with_mode<gla>(m, [](auto chosen) {
      const gatescan::cpu cpu{.threads = 1};
      std::vector<float> buffer(4000, 1.0f);
      {
        everything<gla, float> e(problem<gla>({2, 20, 2, 4, 4}, {}, 94));
        auto in = e.inputs.lib;
        in.v = view<const float>(buffer.data(), {2, 20, 2, 4});
        auto results = e.results;
        results.out = view<float>(buffer.data() + 8, {2, 20, 2, 4});  // 8 elements on
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, in, results); }, {"out", "v"});
        results = e.results;
        results.final_state = view<float>(buffer.data() + 100, {2, 2, 4, 4});
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, in, results); }, {"final_state"});
      }
      {
        everything<gla, float> e(problem<gla>({2, 20, 2, 4, 4}, {}, 95));
        auto g = e.gradients;
        g.q = view<float>(buffer.data(), {2, 20, 2, 4});
        g.k = view<float>(buffer.data() + 319, {2, 20, 2, 4});  // one element of q's
        expect_refused(
            e, [&] { gatescan::backward(cpu, chosen, e.inputs.lib, e.output_gradients, g); },
            {"q", "k"});
        g.k = e.gradients.k;
        auto in = e.inputs.lib;
        in.log_decay = view<const float>(buffer.data() + 4, {2, 20, 2, 4});
        expect_refused(e, [&] { gatescan::backward(cpu, chosen, in, e.output_gradients, g); },
                       {"q", "log_decay"});
      }
      EXPECT_EQ(buffer, std::vector<float>(4000, 1.0f));
      // results in alternate columns of one buffer do not overlap
      everything<real_elementwise, float> e(problem<real_elementwise>({1, 20, 1, 1, 4}, {}, 96));
      auto results = e.results;
      results.out = view<float>(buffer.data(), {1, 20, 1, 4}, {160, 8, 8, 1});
      auto in = e.inputs.lib;
      in.x = view<const float>(buffer.data() + 4, {1, 20, 1, 4}, {160, 8, 8, 1});
      EXPECT_NO_THROW(gatescan::forward(cpu, chosen, in, results));
      for (const std::ptrdiff_t column : {3, 6}) {  // a row's end in the other's row, or the next
        in.x = view<const float>(buffer.data() + column, {1, 20, 1, 4}, {160, 8, 8, 1});
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, in, results); }, {"out", "x"});
      }
    });
  }
}

// T3: each operand in turn with a wrong extent, a wrong rank, and absent where it is required
TYPED_TEST(refusals, T3_wrong_shapes_are_refused_before_the_first_write) {
  using O = TypeParam;
  const auto shrink = [](auto v, int axis) {
    v.shape[std::min(axis, v.rank - 1)] -= 1;
    return v;
  };
  const auto fewer_axes = [](auto v) {
    v.rank -= 2;
    return v;
  };
  const gatescan::cpu cpu{.threads = 1};
  for (const mode& m : modes_of<O>(modes))
    with_mode<O>(m, [&](auto chosen) {
      // results of a shape that does not fit
      for (int axis = 0; axis < 3; ++axis) {
        everything<O, float> e(problem<O>({3, 20, 3, 5, 4}, options{}, 97));
        auto results = e.results;
        results.out = shrink(results.out, axis);
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, e.inputs.lib, results); }, {"out"});
        results = e.results;
        const auto smaller = [&](const auto& state) {
          return with_product<recurrence_of<O>>(state,
                                                [&](const auto& x) { return shrink(x, axis); });
        };
        results.final_state = smaller(results.final_state);
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, e.inputs.lib, results); },
                       {"final_state"});
        auto in = e.inputs.lib;
        in.initial_state = smaller(in.initial_state);
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, in, e.results); },
                       {"initial_state"});
        auto d = e.gradients;
        d.initial_state = smaller(d.initial_state);
        expect_refused(
            e, [&] { gatescan::backward(cpu, chosen, e.inputs.lib, e.output_gradients, d); },
            {"initial_state"});
        auto dout = e.output_gradients;
        dout.out = shrink(dout.out, axis);
        expect_refused(e, [&] { gatescan::backward(cpu, chosen, e.inputs.lib, dout, e.gradients); },
                       {"out"});
      }
      everything<O, float> e(problem<O>({3, 20, 3, 5, 4}, options{}, 98));
      auto results = e.results;
      results.out = fewer_axes(results.out);
      expect_refused(e, [&] { gatescan::forward(cpu, chosen, e.inputs.lib, results); }, {"out"});
    });
}

// every operand of gla and of selective_scan along every axis
TEST(quality, T3_the_message_names_the_operand) {
  const gatescan::cpu cpu{.threads = 1};
  const auto refuse = [&](auto& e, auto change, const char* name) {
    auto in = e.inputs.lib;
    change(in);
    expect_refused(e, [&] { gatescan::forward(cpu, gatescan::chunked{16}, in, e.results); },
                   {name});
    expect_refused(e,
                   [&] {
                     gatescan::backward(cpu, gatescan::chunked{16}, in, e.output_gradients,
                                        e.gradients);
                   },
                   {name});
  };
  for (const int axis : {0, 1, 3}) {
    everything<gla, float> e(problem<gla>({3, 20, 4, 5, 6}, {}, 99));
    refuse(
        e, [axis](auto& in) { in.q.shape[axis] -= 1; }, "q");
    refuse(
        e, [axis](auto& in) { in.k.shape[axis] -= 1; }, "k");
    if (axis != 3)
      refuse(
          e, [axis](auto& in) { in.v.shape[axis] -= 1; }, "v");
    refuse(
        e, [axis](auto& in) { in.log_decay.shape[axis] -= 1; }, "log_decay");
  }
  everything<gla, float> e(problem<gla>({3, 20, 4, 5, 6}, {}, 99));
  refuse(
      e, [](auto& in) { in.k.shape[2] = 3; }, "k");  // 3 heads do not divide 4
  refuse(
      e, [](auto& in) { in.q = {}; }, "q");
  refuse(
      e, [](auto& in) { in.log_decay = {}; }, "log_decay");
  for (const int axis : {0, 1, 2}) {
    everything<selective_scan, float> s(problem<selective_scan>({3, 20, 4, 5, 1}, {}, 100));
    refuse(
        s, [axis](auto& in) { in.delta.shape[axis] -= 1; }, "delta");
    refuse(
        s, [axis](auto& in) { in.z.shape[axis] -= 1; }, "z");
    if (axis < 2)
      refuse(
          s, [axis](auto& in) { in.A.shape[axis] -= 1; }, "A");
    if (axis < 2)
      refuse(
          s, [axis](auto& in) { in.C.shape[axis] -= 1; }, "C");
  }
  everything<selective_scan, float> s(problem<selective_scan>({3, 20, 4, 5, 1}, {}, 100));
  refuse(
      s, [](auto& in) { in.D.shape[0] = 3; }, "D");
  refuse(
      s, [](auto& in) { in.B.shape[2] = 3; }, "B");
  refuse(
      s, [](auto& in) { in.A = {}; }, "A");
}

TEST(quality, T3_bad_sequence_offsets_are_refused) {
  const gatescan::cpu cpu{.threads = 1};
  options c;
  c.sequences = 3;
  everything<gla, float> e(problem<gla>({1, 20, 2, 3, 4}, c, 101));
  for (std::vector<int64> bad : {std::vector<int64>{0, 5, 4, 20},
                                 {1, 5, 9, 20},
                                 {0, 5, 9, 19},
                                 {0, 5, 9, 21},
                                 {0, 5, 20},
                                 {0, -1, 9, 20}}) {
    auto in = e.inputs.lib;
    in.sequence_offsets = {bad.data(), {static_cast<int64>(bad.size())}};
    expect_refused(e, [&] { gatescan::forward(cpu, gatescan::recurrent{}, in, e.results); }, {""});
    expect_refused(
        e, [&] { gatescan::backward(cpu, gatescan::scan{}, in, e.output_gradients, e.gradients); },
        {""});
  }
  everything<gla, float> batch(problem<gla>({2, 20, 2, 3, 4}, {}, 102));
  auto in = batch.inputs.lib;
  std::vector<int64> offsets{0, 5, 20};
  in.sequence_offsets = {offsets.data(), {3}};
  expect_refused(batch, [&] { gatescan::forward(cpu, gatescan::scan{}, in, batch.results); },
                 {"batch"});
}

}  // namespace
