// M1: nothing is read or written one element past an operand, a result or the workspace, and
// nothing is written into an input. Each lies against a forbidden page, inputs on read-only ones.
#include <gtest/gtest.h>

#include <csignal>
#include <sstream>

#include "../support/fenced.hpp"
#include "../support/placed.hpp"

namespace {

using namespace support;

std::string running;  // what the crash is about

[[gnu::cold]] void say_which(int signal) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, running.data(), running.size());
  std::signal(signal, SIG_DFL);  // and on to the crash
}

const std::vector<mode> modes{{mode::recurrent, 0}, {mode::scan, 0},      {mode::chunked, 0},
                              {mode::chunked, 7},   {mode::chunked, 300}, {mode::attention, 0}};
const std::vector<sizes> odd_sizes{{1, 1, 1, 1, 1},   {2, 19, 2, 3, 5},   {1, 67, 2, 9, 17},
                                   {1, 130, 2, 1, 7}, {1, 64, 2, 16, 16}, {3, 5, 2, 33, 1}};

template <class O, class T>
void check(const sizes& n, const options& c, fence side) {
  const auto in = rounded<O, T>(problem<O>(n, c, 180));
  const auto dout = rounded_results<O, T>(random_gradients<O>(O::blank(in), 181));
  for (const mode& m : modes_of<O>(modes)) {
    std::ostringstream text;
    text << m << " " << n << " " << c << (side == fence::before ? " before\n" : " after\n");
    running = text.str();
    SCOPED_TRACE(running);
    placed_problem<O, T, fenced> p(in, dout, side);
    with_mode<O>(m, [&](auto chosen) {
      const gatescan::plan plan(gatescan::cpu{.threads = side == fence::before ? 1 : 2}, chosen,
                                problem_of<recurrence_of<O>>(p.inputs));
      const fenced_bytes scratch(plan.workspace_bytes(), side);
      plan.forward(p.inputs, p.results, {scratch.span()});
      const fenced_bytes more(plan.workspace_bytes(p.inputs, p.gradients), side);
      plan.backward(p.inputs, p.output_gradients, p.gradients, {more.span()});
    });
    p.expect_the_bits_of(run_forward<O, T>(m, in));
    p.expect_the_bits_of(run_backward<O, T>(m, in, dout));
    if (::testing::Test::HasFailure()) return;
  }
}

template <class Cell>
class guard_pages : public ::testing::Test {};
template <class O, class T>
struct cell {
  using oracle = O;
  using scalar = T;
};
using gatescan::bf16;
using cells = ::testing::Types<
    cell<real_elementwise, float>, cell<complex_elementwise, double>, cell<gateloop, float>,
    cell<gla, float>, cell<gla, bf16>, cell<selective_scan, float>, cell<mamba2, float>,
    cell<rwkv6, float>, cell<gated_delta_net, float>, cell<hgrn2, float>, cell<retention, float>,
    cell<hgrn, float>, cell<min_gru, float>, cell<min_lstm, float>, cell<rg_lru, float>,
    cell<linear_attention, float>, cell<mlstm, float>, cell<aaren, float>, cell<rwkv4, float>>;
TYPED_TEST_SUITE(guard_pages, cells);

TYPED_TEST(guard_pages, M1_nothing_beyond_the_ends_is_touched) {
  const auto before = std::signal(SIGSEGV, say_which);
  for (const fence side : {fence::before, fence::after})
    for (const sizes& n : odd_sizes)
      for (const bool variant : {false, true}) {
        options c;
        c.group = variant ? 2 : 1;
        turn<typename TypeParam::oracle>(c, {"linear_gate", "head_gate"}, variant);
        if (n.H % c.group != 0) continue;
        c.sequences = variant && n.B == 1 ? 3 : 0;
        check<typename TypeParam::oracle, typename TypeParam::scalar>(n, c, side);
        if (this->HasFailure()) return;
      }
  std::signal(SIGSEGV, before);
}

}  // namespace
