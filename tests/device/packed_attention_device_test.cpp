// Packed sequences start a block for every tile that may be there, not for every tile of chunks
// (attention: of sequences) that might all be full, and still find them all.
#include "../grid/check.hpp"
#include "emulated.hpp"

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
  friend void run(const counting_gpu&, const Program& program) {
    most_blocks() = std::max(most_blocks(), program.blocks());
  }
  friend std::unique_ptr<std::byte[]> own_scratch(const counting_gpu&, std::size_t bytes) {
    return std::make_unique_for_overwrite<std::byte[]>(bytes);
  }
};

TEST(packed_attention_device, blocks_are_bounded_by_tokens_and_sequences) {
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
TEST(packed_attention_device, finds_every_tile) {
  options c;
  c.sequences = 9;
  for (const int64 L : {1, 63, 64, 65, 200, 333}) {
    SCOPED_TRACE(L);
    const std::vector<mode> modes{
        {mode::attention, 0}, {mode::chunked, 400}, {mode::chunked, 128}, {mode::chunked, 100}};
    grid::check<gla, gatescan::device<float>>(modes, {1, L, 2, 3, 2}, c);
  }
}

}  // namespace
