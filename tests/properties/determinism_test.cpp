// T1, T2, M6: the same bits for any number of threads, any run, any leftovers in memory, and for
// callers that share one plan.
#include <gtest/gtest.h>

#include <thread>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

template <class O>
class determinism : public ::testing::Test {};
using recurrences = every_case<::testing::Types>;
TYPED_TEST_SUITE(determinism, recurrences);

const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 16}, {mode::attention, 0}};

template <class O>
struct example {
  explicit example(const sizes& n, gates gate = gates::mixed, int64 sequences = 0) {
    options c;
    c.gate = gate;
    c.group = 2;
    turn<O>(c, {"head_gate"}, sequences > 0);
    c.sequences = sequences;
    in = rounded<O, float>(problem<O>(n, c, 21));
    dout = rounded_results<O, float>(random_gradients<O>(O::forward(in), 22));
  }
  typename O::inputs in;
  typename O::outputs dout;
};

template <class O, class A>
void expect_bits_of_results(const A& got, const A& want) {
  O::results([](const char* name, auto& g, auto& w) { EXPECT_TRUE(same_bits(g, w)) << name; }, got,
             want);
}
template <class O, class A>
void expect_bits_of_gradients(const A& got, const A& want) {
  O::operands([](const char* name, auto& g,
                 auto& w) { EXPECT_TRUE(same_bits(g, w)) << "gradient of " << name; },
              got, want);
}

TYPED_TEST(determinism, T1_thread_count_changes_no_bit) {
  using O = TypeParam;
  // many lanes; few lanes and long; packed sequences
  const std::vector<example<O>> examples{example<O>({3, 67, 4, 5, 7}),
                                         example<O>({1, 700, 2, 3, 2}),
                                         example<O>({1, 200, 4, 3, 5}, gates::mild, 7)};
  for (const auto& e : examples)
    for (const mode& m : modes_of<O>(modes)) {
      SCOPED_TRACE(::testing::Message() << m);
      const auto out = run_forward<O, float>(m, e.in);
      const auto gradients = run_backward<O, float>(m, e.in, e.dout);
      for (const int threads : {1, 2, 3, 4, 7, 8, 16}) {
        SCOPED_TRACE(threads);
        settings how;
        how.threads = threads;
        expect_bits_of_results<O>(run_forward<O, float>(m, e.in, how), out);
        expect_bits_of_gradients<O>(run_backward<O, float>(m, e.in, e.dout, how), gradients);
      }
    }
}

TYPED_TEST(determinism, T1_twenty_runs_give_the_same_bits) {
  using O = TypeParam;
  const example<O> e({2, 90, 4, 3, 4});
  for (const mode& m : modes_of<O>(modes)) {
    settings how;
    how.threads = 3;
    const auto out = run_forward<O, float>(m, e.in, how);
    const auto gradients = run_backward<O, float>(m, e.in, e.dout, how);
    for (int run = 0; run < 20; ++run) {
      expect_bits_of_results<O>(run_forward<O, float>(m, e.in, how), out);
      expect_bits_of_gradients<O>(run_backward<O, float>(m, e.in, e.dout, how), gradients);
    }
  }
}

// M6, S13: results are written, not added to, and nothing is read that was not written
TYPED_TEST(determinism, M6_S13_leftovers_in_memory_change_no_bit) {
  using O = TypeParam;
  const example<O> e({2, 53, 4, 5, 3});
  for (const mode& m : modes_of<O>(modes))
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(::testing::Message() << m << " threads " << threads);
      const auto out = run_forward<O, float>(m, e.in);
      const auto gradients = run_backward<O, float>(m, e.in, e.dout);
      for (const unsigned char poison : {poison_nan, poison_number}) {
        settings how;
        how.threads = threads;
        how.poison = poison;
        how.planned = true;
        expect_bits_of_results<O>(run_forward<O, float>(m, e.in, how), out);
        expect_bits_of_gradients<O>(run_backward<O, float>(m, e.in, e.dout, how), gradients);
      }
    }
}

// a sequence's place in the batch changes no bit
TYPED_TEST(determinism, batch_position_changes_no_bit) {
  using O = TypeParam;
  options c;
  const auto one = rounded<O, float>(problem<O>({1, 45, 2, 3, 5}, c, 31));
  auto many = rounded<O, float>(problem<O>({5, 45, 2, 3, 5}, c, 32));
  O::operands(
      [](const char* name, auto& all, auto& x) {
        if (!has_time<O>(name) && std::string(name) != "initial_state") {
          all = x;
          return;
        }
        std::copy(x.data.begin(), x.data.end(),
                  all.data.begin() + static_cast<std::ptrdiff_t>(3 * x.data.size()));
      },
      many, one);
  for (const mode& m : modes_of<O>(modes)) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto alone = run_forward<O, float>(m, one);
    const auto together = run_forward<O, float>(m, many);
    O::results(
        [](const char* name, auto& x, auto& all) {
          const auto n = static_cast<std::ptrdiff_t>(x.data.size());
          EXPECT_TRUE(std::equal(x.data.begin(), x.data.end(), all.data.begin() + 3 * n)) << name;
        },
        alone, together);
  }
}

TYPED_TEST(determinism, T2_callers_share_one_plan) {
  using O = TypeParam;
  using R = recurrence_of<O>;
  const example<O> e({2, 40, 2, 3, 4});
  const auto want = run_forward<O, float>({mode::chunked, 16}, e.in);
  const gatescan::plan plan(gatescan::cpu{.threads = 2}, gatescan::chunked{16},
                            problem_of<R>(prepared<O, float>(e.in, {}).lib));
  std::vector<int> wrong(8, 0);
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < wrong.size(); ++i)
    callers.emplace_back([&, i] {
      prepared<O, float> p(e.in, {});
      workspace w(plan.workspace_bytes(), poison_nan);
      for (int call = 0; call < 50; ++call) {
        constexpr bool complex_out = requires { want.out.data[0].re; };
        constexpr bool complex_state = requires { want.final_state.data[0].re; };
        auto out = room<float>(want.out, complex_out, {});
        auto state = room<float>(want.final_state, complex_state, {});
        typename R::template outputs<float> lib;
        lib.out = out;
        lib.final_state = state;
        plan.forward(p.lib, lib, {w.span()});
        auto got = want;
        out.read(got.out);
        state.read(got.final_state);
        if (!same_bits(got.out, want.out) || !same_bits(got.final_state, want.final_state))
          ++wrong[i];
      }
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, std::vector<int>(8, 0));
}

}  // namespace
