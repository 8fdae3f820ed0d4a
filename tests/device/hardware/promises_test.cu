// What the backend promises beside right numbers: exact where arithmetic is exact, the same bits in
// every run, in any stream and from a graph, more heads than an axis of a launch has blocks, and
// offsets beyond 2^31.
#include "../../grid/check.hpp"
//
#include "../../support/problem.hpp"
#include "../../support/slices.hpp"

namespace {

using namespace support;
using gatescan::index_t;

void ask(cudaError_t code, const char* what) { gatescan::detail::check_cuda(code, what); }

template <class O>
class promises : public ::testing::Test {};
using recurrences = ::testing::Types<gla, selective_scan>;  // a form of state each
TYPED_TEST_SUITE(promises, recurrences);

const std::vector<mode> modes{{mode::recurrent, 0},
                              {mode::scan, 3},
                              {mode::chunked, 0},
                              {mode::chunked, 17},
                              {mode::attention, 0}};

TYPED_TEST(promises, exact_where_arithmetic_is) {
  using O = TypeParam;
  std::uint64_t seed = 100;
  for (const int64 group : {1, 2}) {
    options c;
    c.group = group;
    const auto in = exact_problem<O>({2, 37, 4, 3, 5}, c, ++seed);
    const auto want = O::forward(in);
    const auto d = exact_gradients<O>(want, seed);
    for (const mode& m : modes) {
      SCOPED_TRACE(m);
      expect_same_results<O>(run_forward<O, gatescan::device<double>>(m, in), want);
      expect_same_results<O>(run_forward<O, gatescan::device<float>>(m, in), want);
      expect_same_gradients<O>(run_backward<O, gatescan::device<double>>(m, in, d),
                               as_returned<O>(in, O::backward(in, d)));
    }
  }
}

TYPED_TEST(promises, twenty_runs_give_the_same_bits) {
  using O = TypeParam;
  using T = gatescan::device<float>;
  const auto in = rounded<O, T>(problem<O>({2, 300, 4, 16, 16}, options{}, 7));
  const auto d = rounded_results<O, T>(random_gradients<O>(O::forward(in), 8));
  for (const mode& m : modes) {
    SCOPED_TRACE(m);
    const auto want = run_forward<O, T>(m, in);
    const auto want_d = run_backward<O, T>(m, in, d);
    for (int run = 0; run < 20; ++run) {
      const auto got = run_forward<O, T>(m, in);
      const auto got_d = run_backward<O, T>(m, in, d);
      O::results([](const char* name, auto& g, auto& w) { EXPECT_TRUE(same_bits(g, w)) << name; },
                 got, want);
      O::operands([](const char* name, auto& g,
                     auto& w) { EXPECT_TRUE(same_bits(g, w)) << "gradient of " << name; },
                  got_d, want_d);
    }
  }
}

TYPED_TEST(promises, more_heads_than_an_axis_of_a_launch) {
  grid::check<TypeParam, gatescan::device<float>>({{mode::recurrent, 0}, {mode::chunked, 0}},
                                                  {1, 2, 65537, 1, 2}, {});
}

// Chunked GLA in bf16, forward and backward, in memory of its own.
class training_step {
 public:
  explicit training_step(cudaStream_t stream, std::uint64_t seed)
      : plan_(gatescan::cuda{stream}, gatescan::chunked{},
              gatescan::gla::problem<format>{
                  .batch = B, .time = L, .heads = H, .keys = K, .values = V}),
        scratch_(plan_.workspace_bytes()) {
    generator g(seed);
    for (memory<gatescan::bf16>* x : {&q_, &k_, &v_, &decay_, &d_out_}) {
      x->resize(B * L * H * K);
      for (auto& number : *x)
        number = gatescan::bf16(static_cast<float>(x == &decay_ ? g.uniform(-0.1, 0) : g.normal()));
    }
    for (auto* x : {&out_, &d_q_, &d_k_, &d_v_, &d_decay_}) x->resize(B * L * H * K);
  }
  void launch() {
    const gatescan::workspace scratch{{scratch_.data(), scratch_.size()}};
    const gatescan::gla::inputs<format> in{
        .q = of(q_), .k = of(k_), .v = of(v_), .log_decay = of(decay_)};
    plan_.forward(in, {.out = of(out_)}, scratch);
    plan_.backward(in, {.out = of(d_out_)},
                   {.q = of(d_q_), .k = of(d_k_), .v = of(d_v_), .log_decay = of(d_decay_)},
                   scratch);
  }
  void forget() {
    for (auto* x : {&out_, &d_q_, &d_k_, &d_v_, &d_decay_})
      std::fill(x->begin(), x->end(), gatescan::bf16(-1.0f));
  }
  std::vector<std::uint16_t> bits() const {
    std::vector<std::uint16_t> all;
    for (const auto* x : {&out_, &d_q_, &d_k_, &d_v_, &d_decay_})
      for (const gatescan::bf16 number : *x) all.push_back(number.bits);
    return all;
  }

 private:
  using format = gatescan::device<gatescan::bf16>;
  static constexpr index_t B = 2, L = 500, H = 4, K = 64, V = K;
  static gatescan::view<gatescan::bf16> of(memory<gatescan::bf16>& x) {
    return {x.data(), {B, L, H, K}};
  }

  decltype(gatescan::plan{gatescan::cuda{}, gatescan::chunked{},
                          gatescan::gla::problem<format>{}}) plan_;
  memory<std::byte> scratch_;
  memory<gatescan::bf16> q_, k_, v_, decay_, d_out_, out_, d_q_, d_k_, d_v_, d_decay_;
};

struct stream {
  cudaStream_t handle = nullptr;
  stream() { ask(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "a stream"); }
  ~stream() { cudaStreamDestroy(handle); }
  void wait() const { ask(cudaStreamSynchronize(handle), "a kernel"); }
};

TEST(promises, streams_do_not_disturb_each_other) {
  const stream first, second;
  training_step a(first.handle, 1), b(second.handle, 2);
  a.launch(), first.wait();
  b.launch(), second.wait();
  const auto want_a = a.bits(), want_b = b.bits();
  ASSERT_NE(want_a, want_b);
  a.forget(), b.forget();
  for (int i = 0; i < 20; ++i) a.launch(), b.launch();
  first.wait(), second.wait();
  EXPECT_TRUE(a.bits() == want_a);
  EXPECT_TRUE(b.bits() == want_b);
}

TEST(promises, a_graph_replays_the_same_bits) {
  const stream s;
  training_step step(s.handle, 3);
  step.launch(), s.wait();
  const auto want = step.bits();
  ask(cudaStreamBeginCapture(s.handle, cudaStreamCaptureModeThreadLocal), "capture");
  step.launch();
  cudaGraph_t graph = nullptr;
  ask(cudaStreamEndCapture(s.handle, &graph), "capture");
  cudaGraphExec_t captured = nullptr;
  ask(cudaGraphInstantiate(&captured, graph, 0), "a graph");
  for (int replay = 0; replay < 3; ++replay) {
    step.forget();
    ask(cudaGraphLaunch(captured, s.handle), "a graph");
    s.wait();
    EXPECT_TRUE(step.bits() == want);
  }
  cudaGraphExecDestroy(captured);
  cudaGraphDestroy(graph);
}

// h = a h + x with a and x the same everywhere: the same number in every row once it has settled.
TEST(promises, offsets_beyond_2_31) {
  using gatescan::bf16;
  constexpr index_t D = 2048, L = (index_t{1} << 20) + 1000;
  constexpr std::size_t bytes = sizeof(bf16) * static_cast<std::size_t>(L * D);
  static_assert(L * D > index_t{1} << 31);
  std::size_t free = 0, total = 0;
  ask(cudaMemGetInfo(&free, &total), "memory");
  if (free < 3 * bytes + (std::size_t{1} << 30)) GTEST_SKIP() << "wants 14 GB of device memory";
  bf16 *a = nullptr, *x = nullptr, *out = nullptr;
  for (bf16** p : {&a, &x, &out}) ask(cudaMalloc(p, bytes), "memory");
  for (bf16* p : {a, x}) ask(cudaMemset(p, 0x3f, bytes), "memory");  // 0.746
  const auto rows = [](bf16* p) {
    return gatescan::complex_view<bf16>(gatescan::view<bf16>(p, gatescan::layout{1, L, 1, D}));
  };
  for (const mode& m : {mode{mode::recurrent, 0}, mode{mode::scan, 0}, mode{mode::chunked, 0}}) {
    SCOPED_TRACE(m);
    ask(cudaMemset(out, 0xff, bytes), "memory");
    with_mode<real_elementwise>(m, [&](auto chosen) {
      gatescan::forward(
          gatescan::cuda{}, chosen,
          gatescan::elementwise::inputs<gatescan::device<bf16>>{.a = rows(a), .x = rows(x)},
          {.out = rows(out)});
    });
    ask(cudaDeviceSynchronize(), "a kernel");
    std::vector<bf16> first(D), settled(D), last(D);
    const auto read = [&](std::vector<bf16>& to, index_t row) {
      ask(cudaMemcpy(to.data(), out + row * D, D * sizeof(bf16), cudaMemcpyDeviceToHost), "copy");
    };
    read(first, 0), read(settled, 500), read(last, L - 1);
    for (std::size_t i = 0; i < static_cast<std::size_t>(D); ++i) {
      ASSERT_EQ(first[i].bits, 0x3f3f) << i;
      ASSERT_EQ(settled[i].bits, settled[0].bits) << i;
      ASSERT_EQ(last[i].bits, settled[0].bits) << i;
    }
    // 0.746 / (1 - 0.746)
    EXPECT_NEAR(static_cast<float>(last[0]), 2.938f, 0.02f);
  }
  for (bf16* p : {a, x, out}) cudaFree(p);
}

}  // namespace
