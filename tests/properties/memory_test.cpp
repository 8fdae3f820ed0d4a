// M1, M2, M3, M5: what a call may read and write, and that a plan's calls allocate nothing. Guards
// (M1) and poison (M6) are checked by every call of every test here (support/run.hpp).
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>

#include "../support/compare.hpp"
#include "../support/everything.hpp"
#include "../support/slices.hpp"

namespace {
std::atomic<long> allocations{0};
}

// Not inlined, or the compiler takes the malloc in one for a mistake in the other.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t align) {
  ++allocations;
  const auto step = static_cast<std::size_t>(align);
  if (void* p = std::aligned_alloc(step, (size + step - 1) / step * step)) return p;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

namespace {

using namespace support;
using gatescan::view;

const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 16}, {mode::attention, 0}};

template <class O>
class memory : public ::testing::Test {};
using recurrences = every_case<::testing::Types>;
TYPED_TEST_SUITE(memory, recurrences);

// std::thread allocates a record for every thread it starts; a team of OpenMP's does not use new
#if defined(_OPENMP)
constexpr int most_threads = 2;
#else
constexpr int most_threads = 1;
#endif

// M5: a plan's calls allocate nothing
TYPED_TEST(memory, M5_no_allocation_after_planning) {
  using O = TypeParam;
  everything<O, float> e(problem<O>({2, 100, 2, 5, 3}, options{}, 90));
  for (const mode& m : modes_of<O>(modes))
    for (int threads = 1; threads <= most_threads; ++threads) {
      SCOPED_TRACE(::testing::Message() << m << " threads " << threads);
      with_mode<O>(m, [&](auto chosen) {
        const gatescan::plan plan(gatescan::cpu{.threads = threads}, chosen,
                                  problem_of<recurrence_of<O>>(e.inputs.lib));
        workspace w(plan.workspace_bytes(), poison_nan);
        plan.forward(e.inputs.lib, e.results, {w.span()});
        const long before = allocations;
        plan.forward(e.inputs.lib, e.results, {w.span()});
        const long forward = allocations - before;
        plan.backward(e.inputs.lib, e.output_gradients, e.gradients, {w.span()});
        const long backward = allocations - before - forward;
        EXPECT_EQ(forward, 0);
        EXPECT_EQ(backward, 0);
      });
    }
}

// M3: the state may be updated in place
TYPED_TEST(memory, M3_the_final_state_may_be_the_initial_state) {
  using O = TypeParam;
  for (const mode& m : modes_of<O>(modes))
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(::testing::Message() << m << " threads " << threads);
      everything<O, float> e(problem<O>({2, 60, 2, 5, 3}, options{}, 92));
      const auto want = run_forward<O, float>(m, e.in);
      auto inputs = e.inputs.lib;
      e.results.final_state = e.inputs.held.state;
      const auto run = [&](auto chosen) {
        gatescan::forward(gatescan::cpu{.threads = threads}, chosen, inputs, e.results);
      };
      with_mode<O>(m, run);
      auto got = want;
      e.out.read(got.out);
      e.inputs.held.state.read(got.final_state);
      EXPECT_TRUE(same_bits(got.out, want.out));
      EXPECT_TRUE(same_bits(got.final_state, want.final_state));
    }
}

// M3: out may take the place of an operand of its shape, also where Inf and NaN send a chunk
// through the token by token form
template <class O>
void expect_in_place(const char* operand) {
  auto problem_in = problem<O>({2, 60, 2, 5, 16}, options{}, 94);
  O::operands(
      [&](const char* name, auto& x) {
        if (std::string(name) != operand) return;
        x.data[x.data.size() / 3] = INFINITY;
        x.data[x.data.size() / 2] = NAN;
      },
      problem_in);
  const auto in = rounded<O, float>(problem_in);
  for (const mode& m : modes_of<O>(modes)) {
    SCOPED_TRACE(::testing::Message() << m << " " << operand);
    everything<O, float> apart(in), same(in);
    same.results.out = same.inputs.held[operand];
    for (everything<O, float>* e : {&apart, &same})
      with_mode<O>(m, [&](auto chosen) {
        gatescan::forward(gatescan::cpu{.threads = 1}, chosen, e->inputs.lib, e->results);
      });
    auto want = O::blank(in).out, got = want;
    apart.out.read(want);
    same.inputs.held[operand].read(got);
    EXPECT_TRUE(same_bits(got, want));
  }
}
TEST(quality, M3_out_may_be_an_operand) {
  expect_in_place<real_elementwise>("x");
  expect_in_place<real_elementwise>("a");
  expect_in_place<gla>("v");
  expect_in_place<selective_scan>("u");
  expect_in_place<selective_scan>("z");
  expect_in_place<mamba2>("x");
  expect_in_place<mamba2>("z");
  expect_in_place<rwkv6>("v");
  expect_in_place<gated_delta_net>("v");
  expect_in_place<hgrn2>("i");
  expect_in_place<retention>("v");
  expect_in_place<hgrn>("x");
  expect_in_place<min_gru>("z");
  expect_in_place<min_lstm>("h");
  expect_in_place<rg_lru>("r");
  expect_in_place<linear_attention>("v");
  expect_in_place<mlstm>("v");
  expect_in_place<aaren>("v");
  expect_in_place<rwkv4>("k");
  expect_in_place<rwkv4>("v");
}

// M3: and the gradient of the initial state may replace that of the final state
TYPED_TEST(memory, M3_the_state_gradient_may_be_updated_in_place) {
  using O = TypeParam;
  for (const mode& m : modes_of<O>(modes)) {
    SCOPED_TRACE(::testing::Message() << m);
    everything<O, float> e(problem<O>({2, 60, 2, 5, 3}, options{}, 93));
    const auto dout = rounded_results<O, float>(random_gradients<O>(e.like, 3));
    const auto want = run_backward<O, float>(m, e.in, dout);
    e.gradients.initial_state = e.d_state;
    leave_out_fixed_part(e.gradients.initial_state);
    with_mode<O>(m, [&](auto chosen) {
      gatescan::backward(gatescan::cpu{.threads = 1}, chosen, e.inputs.lib, e.output_gradients,
                         e.gradients);
    });
    auto got = want;
    e.d_state.read(got.initial_state);
    EXPECT_TRUE(same_bits(got.initial_state, want.initial_state));
  }
}

// M3: planes of complex numbers and rows of one buffer may lie between each other
TEST(quality, M3_memory_that_is_only_near_is_accepted) {
  const auto in = rounded<gateloop, float>(problem<gateloop>({1, 12, 1, 2, 3}, {}, 103));
  const auto want = run_forward<gateloop, float>({mode::chunked, 8}, in);
  prepared<gateloop, float> p(in, {});
  std::vector<float> buffer(6 + 36 +
                            6);  // real parts of the state, out, imaginary parts of the state
  gatescan::gateloop::outputs<float> results;
  results.final_state = gatescan::complex_view<float>(
      view<float>(buffer.data(), {1, 1, 2, 3}), view<float>(buffer.data() + 42, {1, 1, 2, 3}));
  results.out = view<float>(buffer.data() + 6, {1, 12, 1, 3});
  ASSERT_NO_THROW(gatescan::forward(gatescan::cpu{1}, gatescan::chunked{8}, p.lib, results));
  for (std::size_t i = 0; i < 36; ++i) EXPECT_EQ(buffer[6 + i], want.out.data[i]) << i;
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(buffer[i], want.final_state.data[i].re) << i;
    EXPECT_EQ(buffer[42 + i], want.final_state.data[i].im) << i;
  }
  // q, k, v and out as columns of one [L, 4 D] matrix, as a fused projection makes them
  const auto g = rounded<gla, float>(problem<gla>({1, 12, 2, 3, 3}, {}, 104));
  prepared<gla, float> fused(g, {});
  std::vector<float> rows(12 * 24);
  const auto column = [&](std::size_t place) {
    return view<float>(rows.data() + 6 * place, {1, 12, 2, 3}, {0, 24, 3, 1});
  };
  for (std::size_t t = 0; t < 12; ++t)
    for (std::size_t i = 0; i < 6; ++i) {
      rows[24 * t + i] = static_cast<float>(g.q.data[6 * t + i]);
      rows[24 * t + 6 + i] = static_cast<float>(g.k.data[6 * t + i]);
      rows[24 * t + 12 + i] = static_cast<float>(g.v.data[6 * t + i]);
    }
  fused.lib.q = column(0), fused.lib.k = column(1), fused.lib.v = column(2);
  const auto same = run_forward<gla, float>({mode::scan, 0}, g);
  ASSERT_NO_THROW(
      gatescan::forward(gatescan::cpu{1}, gatescan::scan{}, fused.lib, {column(3), {}}));
  for (std::size_t t = 0; t < 12; ++t)
    for (std::size_t i = 0; i < 6; ++i)
      EXPECT_EQ(rows[24 * t + 18 + i], same.out.data[6 * t + i]) << t;
}

// M3: out may take the place of an operand of the same view
TEST(quality, M3_out_may_replace_an_operand) {
  const auto in = rounded<gla, float>(problem<gla>({2, 70, 2, 4, 4}, {}, 105));
  const auto scan_in =
      rounded<selective_scan, float>(problem<selective_scan>({2, 70, 5, 3, 1}, {}, 106));
  const auto check = [](auto& e, auto& place, const auto& want, auto chosen, const char* what) {
    e.results.out = place;
    e.results.final_state = {};
    gatescan::forward(gatescan::cpu{2}, chosen, e.inputs.lib, e.results);
    auto got = want;
    place.read(got);
    EXPECT_TRUE(same_bits(got, want)) << what;
  };
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    with_mode<gla>(m, [&](auto chosen) {
      for (const char* name : {"q", "k", "v", "log_decay"}) {
        everything<gla, float> e(in);
        check(e, e.inputs.held[name], run_forward<gla, float>(m, in).out, chosen, name);
      }
      for (const char* name : {"u", "delta", "z"}) {
        everything<selective_scan, float> e(scan_in);
        check(e, e.inputs.held[name], run_forward<selective_scan, float>(m, scan_in).out, chosen,
              name);
      }
    });
  }
}

// M2: a stride of 0 is the same operand written out, at any element offset and stride
TEST(quality, M2_broadcast_operands_by_stride_zero) {
  using gatescan::gla;
  constexpr int64 B = 2, L = 33, H = 3, K = 5, V = 4;
  generator g(110);
  std::vector<float> q(B * L * H * K), k(L * K), v(B * L * H * V), decay(1), out(B * L * H * V),
      same(out);
  for (auto* x : {&q, &k, &v})
    for (float& e : *x) e = static_cast<float>(g.normal());
  decay[0] = -0.25f;
  std::vector<float> k_all, decay_all(B * L * H * K, decay[0]);
  for (int64 b = 0; b < B; ++b)
    for (int64 t = 0; t < L; ++t)
      for (int64 h = 0; h < H; ++h)
        k_all.insert(k_all.end(), k.begin() + t * K, k.begin() + (t + 1) * K);
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    with_mode<support::gla>(m, [&](auto chosen) {
      gla::inputs<float> in{
          .q = view<const float>(q.data(), {B, L, H, K}),
          .k = view<const float>(k.data(), {B, L, H, K}, {0, K, 0, 1}),
          .v = view<const float>(v.data(), {B, L, H, V}),
          .log_decay = view<const float>(decay.data(), {B, L, H, K}, {0, 0, 0, 0}),
          .initial_state = {},
          .sequence_offsets = {}};
      gatescan::forward(gatescan::cpu{1}, chosen, in,
                        gla::outputs<float>{view<float>(out.data(), {B, L, H, V}), {}});
      in.k = view<const float>(k_all.data(), {B, L, H, K});
      in.log_decay = view<const float>(decay_all.data(), {B, L, H, K});
      gatescan::forward(gatescan::cpu{1}, chosen, in,
                        gla::outputs<float>{view<float>(same.data(), {B, L, H, V}), {}});
      EXPECT_EQ(out, same);
    });
  }
}

TEST(quality, M2_any_offset_and_stride_gives_the_same_bits) {
  using gatescan::elementwise;
  constexpr int64 L = 50, D = 7;
  generator g(111);
  std::vector<float> a(L * D), x(L * D), want(L * D);
  for (float& e : a) e = static_cast<float>(g.uniform());
  for (float& e : x) e = static_cast<float>(g.normal());
  for (const mode& m : modes)
    with_mode<real_elementwise>(m, [&](auto chosen) {
      const auto run = [&](view<const float> va, view<const float> vx, view<float> vo) {
        gatescan::forward(gatescan::cpu{1}, chosen, elementwise::inputs<float>{va, vx, {}, {}},
                          elementwise::outputs<float>{vo, {}});
      };
      run({a.data(), {1, L, 1, D}}, {x.data(), {1, L, 1, D}}, {want.data(), {1, L, 1, D}});
      for (int64 offset = 0; offset <= 17; ++offset)
        for (const int64 stride : {1, -1, 3, -3, 1031}) {
          SCOPED_TRACE(::testing::Message() << m << " offset " << offset << " stride " << stride);
          const int64 step = std::abs(stride);
          std::vector<float> far(static_cast<std::size_t>(L * D * step + 40), 7.0f);
          const int64 first = offset + (stride < 0 ? (L * D - 1) * step : 0);
          const auto at = [&](int64 i) { return static_cast<std::size_t>(first + i * stride); };
          for (int64 i = 0; i < L * D; ++i) far[at(i)] = x[static_cast<std::size_t>(i)];
          std::vector<float> out(far.size(), 7.0f);
          const gatescan::layout l({1, L, 1, D}, {L * D * stride, D * stride, D * stride, stride});
          run({a.data(), {1, L, 1, D}}, {far.data() + first, l}, {out.data() + first, l});
          for (int64 i = 0; i < L * D; ++i) {
            ASSERT_EQ(out[at(i)], want[static_cast<std::size_t>(i)]) << i;
            out[at(i)] = 7.0f;
          }
          EXPECT_EQ(out, std::vector<float>(out.size(), 7.0f));
        }
    });
}

}  // namespace
