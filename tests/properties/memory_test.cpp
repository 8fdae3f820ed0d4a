// M1, M2, M3, M5, S6, T3: what a call may read and write, and what it does when asked for the wrong
// thing. Guards and poison are checked by every call in these tests (support/run.hpp).
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "../support/compare.hpp"
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
using recurrences =
    ::testing::Types<real_elementwise, complex_elementwise, gateloop, gla, selective_scan>;
TYPED_TEST_SUITE(memory, recurrences);

// the library structures of one problem with room for every result
template <class O, class T>
struct everything {
  using R = typename binding<O>::recurrence;
  explicit everything(const typename O::inputs& given, settings how = {})
      : in(rounded<O, T>(given)), inputs(in, how), like(O::forward(in)) {
    constexpr bool complex_out = requires { like.out.data[0].re; };
    constexpr bool complex_state = requires { like.final_state.data[0].re; };
    const auto dout = random_gradients<O>(like, 3);
    out = room<gatescan::storage_t<T>>(like.out, complex_out, how);
    state = room<gatescan::state_t<T>>(like.final_state, complex_state, how);
    d_out = room<gatescan::storage_t<T>>(like.out, complex_out, how);
    d_state = room<gatescan::state_t<T>>(like.final_state, complex_state, how);
    d_out.write(dout.out);
    d_state.write(dout.final_state);
    O::operands(
        [&](const char* name, auto& x) {
          if (!x.given()) return;
          const bool complex = goes_as_complex(name, x);
          if (std::string(name) == "initial_state")
            made.state = room<gatescan::state_t<T>>(x, complex, how);
          else
            made[name] = room<gatescan::storage_t<T>>(x, complex, how);
        },
        in);
    results.out = out;
    results.final_state = state;
    output_gradients.out = d_out;
    output_gradients.final_state = d_state;
    binding<O>::operands(gradients, made);
  }

  typename O::inputs in;
  prepared<O, T> inputs;
  typename O::outputs like;
  stored<gatescan::storage_t<T>> out, d_out;
  stored<gatescan::state_t<T>> state, d_state;
  operand_set<T> made;
  typename R::template outputs<T> results;
  typename R::template output_gradients<T> output_gradients;
  typename R::template gradients<T> gradients;
};

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
  for (const mode& m : modes)
    for (int threads = 1; threads <= most_threads; ++threads) {
      SCOPED_TRACE(::testing::Message() << m << " threads " << threads);
      with_mode(m, [&](auto chosen) {
        const gatescan::plan plan(gatescan::cpu{.threads = threads}, chosen,
                                  binding<O>::template problem<float>(e.in, 2));
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

// M6, T3: too little scratch is an error, before anything is written
TYPED_TEST(memory, a_workspace_too_small_is_refused) {
  using O = TypeParam;
  everything<O, float> e(problem<O>({2, 100, 2, 5, 3}, options{}, 91));
  for (const mode& m : modes)
    with_mode(m, [&](auto chosen) {
      const gatescan::plan plan(gatescan::cpu{.threads = 1}, chosen,
                                binding<O>::template problem<float>(e.in, 2));
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

// M3: the state may be updated in place
TYPED_TEST(memory, M3_the_final_state_may_be_the_initial_state) {
  using O = TypeParam;
  for (const mode& m : modes)
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(::testing::Message() << m << " threads " << threads);
      everything<O, float> e(problem<O>({2, 60, 2, 5, 3}, options{}, 92));
      const auto want = run_forward<O, float>(m, e.in);
      auto inputs = e.inputs.lib;
      e.results.final_state = e.inputs.held.state;
      const auto run = [&](auto chosen) {
        gatescan::forward(gatescan::cpu{.threads = threads}, chosen, inputs, e.results);
      };
      with_mode(m, run);
      auto got = want;
      e.out.read(got.out);
      e.inputs.held.state.read(got.final_state);
      EXPECT_TRUE(same_bits(got.out, want.out));
      EXPECT_TRUE(same_bits(got.final_state, want.final_state));
    }
}

// M3: and the gradient of the initial state may replace that of the final state
TYPED_TEST(memory, M3_the_state_gradient_may_be_updated_in_place) {
  using O = TypeParam;
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    everything<O, float> e(problem<O>({2, 60, 2, 5, 3}, options{}, 93));
    const auto dout = rounded_results<O, float>(random_gradients<O>(e.like, 3));
    const auto want = run_backward<O, float>(m, e.in, dout);
    e.gradients.initial_state = e.d_state;
    with_mode(m, [&](auto chosen) {
      gatescan::backward(gatescan::cpu{.threads = 1}, chosen, e.inputs.lib, e.output_gradients,
                         e.gradients);
    });
    auto got = want;
    e.d_state.read(got.initial_state);
    EXPECT_TRUE(same_bits(got.initial_state, want.initial_state));
  }
}

// f throws shape_error, its message has each of the words, and e's results are as they were
template <class E, class F>
void expect_refused(E& e, F f, const std::vector<std::string>& words) {
  const auto out = e.out, state = e.state;
  const auto made = e.made;
  try {
    f();
    ADD_FAILURE() << "accepted; expected a refusal that names " << words[0];
  } catch (const gatescan::shape_error& error) {
    for (const std::string& word : words)
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
          << "'" << error.what() << "' does not say '" << word << "'";
  }
  EXPECT_TRUE(e.out.same_bytes(out));
  EXPECT_TRUE(e.state.same_bytes(state));
  for (const auto& [name, x] : made.operands)
    EXPECT_TRUE(e.made[name.c_str()].same_bytes(x)) << name;
  EXPECT_TRUE(e.made.state.same_bytes(made.state));
}

// M3: memory that a result shares with anything else is refused
TEST(quality, M3_overlaps_are_refused_before_the_first_write) {
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    with_mode(m, [](auto chosen) {
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
    });
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
    with_mode(m, [&](auto chosen) {
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

// T3: each operand in turn with a wrong extent, a wrong rank, and absent where it is required
TYPED_TEST(memory, T3_wrong_shapes_are_refused_before_the_first_write) {
  using O = TypeParam;
  const auto shrink = [](auto v, int axis) {
    v.shape[axis] -= 1;
    return v;
  };
  const auto fewer_axes = [](auto v) {
    v.rank -= 2;
    return v;
  };
  const gatescan::cpu cpu{.threads = 1};
  for (const mode& m : modes)
    with_mode(m, [&](auto chosen) {
      // results of a shape that does not fit
      for (int axis = 0; axis < 3; ++axis) {
        everything<O, float> e(problem<O>({3, 20, 3, 5, 4}, options{}, 97));
        auto results = e.results;
        results.out = shrink(results.out, axis);
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, e.inputs.lib, results); }, {"out"});
        results = e.results;
        results.final_state = shrink(results.final_state, axis);
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, e.inputs.lib, results); },
                       {"final_state"});
        auto in = e.inputs.lib;
        in.initial_state = shrink(in.initial_state, axis);
        expect_refused(e, [&] { gatescan::forward(cpu, chosen, in, e.results); },
                       {"initial_state"});
        auto d = e.gradients;
        d.initial_state = shrink(d.initial_state, axis);
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
    with_mode(m, [&](auto chosen) {
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
    with_mode(m, [&](auto chosen) {
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
