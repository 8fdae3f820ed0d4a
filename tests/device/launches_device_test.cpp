// Launches: packed sequences start a block for every tile that may be there, not for every tile of
// chunks (attention: of sequences) that might all be full, and still find them all; more blocks
// than 16 bits count find their heads.
#include "../grid/check.hpp"
#include "device.hpp"

namespace {

using namespace support;

// the largest launch since the last call
index_t& most_blocks() {
  static index_t most = 0;
  return most;
}
struct counting_gpu {
  static constexpr bool on_device = true;

  template <class Program>
  friend void launch(const counting_gpu&, const Program& program) {
    most_blocks() = std::max(most_blocks(), program.blocks());
  }
  friend std::unique_ptr<std::byte[]> own_scratch(const counting_gpu&, std::size_t bytes) {
    return std::make_unique_for_overwrite<std::byte[]>(bytes);
  }
};

TEST(launches_device, blocks_are_bounded_by_tokens_and_sequences) {
  constexpr index_t sequences = 10000, L = 100000, H = 4, K = 2, V = 2;
  std::vector<float> qk(L * H * K), v(L * H * V), log_decay(L * H), out(L * H * V);
  std::vector<index_t> offsets(sequences + 1);
  for (index_t i = 0; i <= sequences; ++i)
    offsets[static_cast<std::size_t>(i)] = i * (L / sequences);
  const gatescan::gla::inputs<gatescan::device<float>> in{
      .q = {qk.data(), {1, L, H, K}},
      .k = {qk.data(), {1, L, H, K}},
      .v = {v.data(), {1, L, H, V}},
      .log_decay = {log_decay.data(), {1, L, H, 1}},
      .sequence_offsets = {offsets.data(), {sequences + 1}}};
  const auto launched = [&](const auto& mode) {
    most_blocks() = 0;
    gatescan::forward(counting_gpu{}, mode, in, {.out = {out.data(), {1, L, H, V}}});
    return most_blocks();
  };
  EXPECT_LE(launched(gatescan::attention{}), (L / 64 + sequences) * H);
  EXPECT_LE(launched(gatescan::chunked{1024}), (L / 64 + sequences) * H);
}

// sequences of no token, of one, of a tile more or less, and of several
TEST(launches_device, packed_sequences_find_every_tile) {
  options c;
  c.sequences = 9;
  for (const int64 L : {1, 63, 64, 65, 200, 333}) {
    SCOPED_TRACE(L);
    const std::vector<mode> modes{
        {mode::attention, 0}, {mode::chunked, 400}, {mode::chunked, 128}, {mode::chunked, 100}};
    grid::check<gla, gatescan::device<float>>(modes, {1, L, 2, 3, 2}, c);
  }
}

// What blocks near the ends and near the 2^16th leave; everything else stays as it was.
struct many_heads {
  index_t B, H;
  static constexpr index_t L = 3;
  std::vector<float> numbers[4], d_out;

  many_heads(index_t batch, index_t heads) : B(batch), H(heads) {
    generator g(7);
    for (auto* x : {&numbers[0], &numbers[1], &numbers[2], &numbers[3], &d_out})
      for (const double e : g.uniforms({B, L, H, 1}, -1, 0).data)
        x->push_back(static_cast<float>(e));
  }
  template <class View>
  View of(std::vector<float>& x) const {
    return View(x.data(), {B, L, H, 1});
  }
  // out, and gradients of q, k, v and log_decay
  template <class Format, class Backend, class Mode>
  std::vector<std::vector<float>> results(const Backend& backend, const Mode& mode) {
    using read = gatescan::view<const float>;
    using write = gatescan::view<float>;
    const gatescan::gla::inputs<Format> in{.q = of<read>(numbers[0]),
                                           .k = of<read>(numbers[1]),
                                           .v = of<read>(numbers[2]),
                                           .log_decay = of<read>(numbers[3])};
    std::vector<std::vector<float>> all(5, std::vector<float>(d_out.size(), untouched));
    gatescan::forward(backend, mode, in, {.out = of<write>(all[0])});
    gatescan::backward(backend, mode, in, {.out = of<read>(d_out)},
                       {.q = of<write>(all[1]),
                        .k = of<write>(all[2]),
                        .v = of<write>(all[3]),
                        .log_decay = of<write>(all[4])});
    return all;
  }
  static constexpr float untouched = 1e30f;
};

TEST(launches_device, more_heads_than_sixteen_bits_count) {
  const auto check = [](index_t B, index_t H, const auto& mode) {
    SCOPED_TRACE(::testing::Message() << B << " x " << H << " " << mode.name);
    many_heads p(B, H);
    const auto want = p.results<float>(gatescan::cpu{}, mode);
    const auto got =
        p.results<gatescan::device<float>>(support::emulated_gpu{.most_blocks = 4096}, mode);
    for (std::size_t i = 0; i < got.size(); ++i) {
      std::size_t written = 0;
      for (std::size_t n = 0; n < got[i].size(); ++n) {
        if (got[i][n] == many_heads::untouched) continue;
        ++written;
        EXPECT_NEAR(got[i][n], want[i][n], 1e-5) << "result " << i << ", number " << n;
      }
      EXPECT_EQ(written, static_cast<std::size_t>(many_heads::L) * 16) << "result " << i;
    }
  };
  check(1, 65545, gatescan::chunked{});
  check(5, 13109, gatescan::chunked{});
  check(5, 13109, gatescan::recurrent{});
}

}  // namespace
