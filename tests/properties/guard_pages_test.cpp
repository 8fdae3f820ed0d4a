// M1: nothing is read or written one element past an operand, a result or the workspace, and nothing
// is written into an input. Each lies against a page that may not be touched; inputs are read-only.
#include <gtest/gtest.h>

#include <csignal>

#include "../support/compare.hpp"
#include "../support/fenced.hpp"
#include "../support/slices.hpp"

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
struct fenced_problem {
  using R = typename binding<O>::recurrence;
  using S = gatescan::storage_t<T>;
  using state_type = gatescan::state_t<T>;

  fenced_problem(const typename O::inputs& given, const typename O::outputs& dout, fence where)
      : in(given), side(where), offsets(fence_offsets()), like(O::blank(in)) {
    constexpr bool complex_out = requires { like.out.data[0].re; };
    constexpr bool complex_state = requires { like.final_state.data[0].re; };
    O::operands(
        [&](const char* name, const auto& x) {
          if (!x.given()) return;
          const bool complex = goes_as_complex(name, x);
          if (std::string(name) == "initial_state") {
            held.state = {x, complex, side};
            made.state = {x.shape, complex, side};
          } else {
            held[name] = {x, complex, side};
            made[name] = {x.shape, complex, side};
          }
        },
        in);
    binding<O>::operands(inputs, held);
    if (!in.sequence_offsets.empty())
      inputs.sequence_offsets = {reinterpret_cast<const int64*>(offsets.data()),
                                 {static_cast<int64>(in.sequence_offsets.size())}};
    if constexpr (requires { inputs.scale; }) inputs.scale = in.scale;
    if constexpr (requires { inputs.softplus; }) inputs.softplus = in.softplus;
    out = {like.out.shape, complex_out, side};
    state = {like.final_state.shape, complex_state, side};
    d_out = {dout.out, complex_out, side};
    d_state = {dout.final_state, complex_state, side};
    results.out = out, results.final_state = state;
    output_gradients.out = d_out, output_gradients.final_state = d_state;
    binding<O>::operands(gradients, made);
  }

  void run(const mode& m, int threads) {
    with_mode(m, [&](auto chosen) {
      const gatescan::plan plan(gatescan::cpu{.threads = threads}, chosen,
                                binding<O>::template problem<T>(in, like.final_state.extent(0)));
      const fenced_bytes scratch(plan.workspace_bytes(), side);
      plan.forward(inputs, results, {scratch.span()});
      const fenced_bytes more(plan.workspace_bytes(inputs, gradients), side);
      plan.backward(inputs, output_gradients, gradients, {more.span()});
    });
  }
  fenced_bytes fence_offsets() const {
    const auto bytes = in.sequence_offsets.size() * sizeof(int64);
    fenced_bytes r(bytes, side);
    if (bytes > 0) std::memcpy(r.data(), in.sequence_offsets.data(), bytes);
    r.make_read_only();
    return r;
  }

  typename O::inputs in;
  fence side;
  fenced_bytes offsets;
  typename O::outputs like;
  fenced_set<T> held, made;
  fenced<S> out, d_out;
  fenced<state_type> state, d_state;
  typename R::template inputs<T> inputs;
  typename R::template outputs<T> results;
  typename R::template output_gradients<T> output_gradients;
  typename R::template gradients<T> gradients;
};

template <class O, class T>
void check(const sizes& n, const options& c, fence side) {
  const auto in = rounded<O, T>(problem<O>(n, c, 180));
  const auto dout = rounded_results<O, T>(random_gradients<O>(O::blank(in), 181));
  for (const mode& m : modes) {
    std::ostringstream text;
    text << m << " " << n << " " << c << (side == fence::before ? " before\n" : " after\n");
    running = text.str();
    SCOPED_TRACE(running);
    fenced_problem<O, T> p(in, dout, side);
    p.run(m, side == fence::before ? 1 : 2);
    // and fences change no result
    auto got = p.like;
    p.out.read(got.out);
    p.state.read(got.final_state);
    const auto want = run_forward<O, T>(m, in);
    O::results([](const char* name, auto& g, auto& w) { EXPECT_TRUE(same_bits(g, w)) << name; },
               got, want);
    const auto gradients = run_backward<O, T>(m, in, dout);
    O::operands(
        [&](const char* name, const auto& w) {
          if (!w.given()) return;
          auto g = w;
          if (std::string(name) == "initial_state")
            p.made.state.read(g);
          else
            p.made[name].read(g);
          EXPECT_TRUE(same_bits(g, w)) << "gradient of " << name;
        },
        gradients);
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
using cells = ::testing::Types<cell<real_elementwise, float>, cell<complex_elementwise, double>,
                               cell<gateloop, float>, cell<gla, float>, cell<gla, bf16>,
                               cell<selective_scan, float>>;
TYPED_TEST_SUITE(guard_pages, cells);

TYPED_TEST(guard_pages, M1_nothing_beyond_the_ends_is_touched) {
  const auto before = std::signal(SIGSEGV, say_which);
  for (const fence side : {fence::before, fence::after})
    for (const sizes& n : odd_sizes)
      for (const bool variant : {false, true}) {
        options c;
        c.group = variant ? 2 : 1;
        c.linear = c.scalar_decay = variant;
        if (n.H % c.group != 0) continue;
        c.sequences = variant && n.B == 1 ? 3 : 0;
        check<typename TypeParam::oracle, typename TypeParam::scalar>(n, c, side);
        if (this->HasFailure()) return;
      }
  std::signal(SIGSEGV, before);
}

}  // namespace
