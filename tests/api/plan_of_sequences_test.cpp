// A plan knows how many sequences are packed, not how long they are: it is enough for any.

#include <gtest/gtest.h>

#include <cstdint>
#include <gatescan/gatescan.hpp>
#include <memory>
#include <vector>

namespace {

using namespace gatescan;

// Nothing is computed: the arrays only have to be there.
struct packed {
  static constexpr std::int64_t T = 4100, H = 8, K = 64;
  static std::unique_ptr<float[]> numbers() {
    return std::make_unique_for_overwrite<float[]>(T * H * K);
  }
  std::unique_ptr<float[]> q = numbers(), k = numbers(), v = numbers(), log_decay = numbers();
  std::unique_ptr<float[]> dq = numbers(), dk = numbers(), dv = numbers(), dlog = numbers();

  template <class Mode>
  std::size_t bytes(const Mode& mode, const std::vector<std::int64_t>& offsets) const {
    const auto view_of = [](const auto& array) { return view<float>{array.get(), {1, T, H, K}}; };
    const auto sequences = static_cast<std::int64_t>(offsets.size()) - 1;
    const plan all{
        cpu{1}, mode,
        gla::problem<float>{
            .batch = 1, .time = T, .heads = H, .keys = K, .values = K, .sequences = sequences}};
    const gla::inputs<float> in{.q = view_of(q),
                                .k = view_of(k),
                                .v = view_of(v),
                                .log_decay = view_of(log_decay),
                                .sequence_offsets = {offsets.data(), {sequences + 1}}};
    const gla::gradients<float> d{
        .q = view_of(dq), .k = view_of(dk), .v = view_of(dv), .log_decay = view_of(dlog)};
    EXPECT_EQ(all.workspace_bytes(in, d), all.workspace_bytes());
    return all.workspace_bytes();
  }
};

TEST(plan_of_sequences, IsEnoughHoweverLongTheyAre) {
  const packed arrays;
  const std::int64_t T = packed::T;
  for (const std::int64_t longest : {T, T - 4, T / 2, T / 4, T / 8 + 1}) {
    SCOPED_TRACE(longest);
    std::vector<std::int64_t> offsets(9);
    for (std::int64_t s = 0; s < 8; ++s)
      offsets[static_cast<std::size_t>(s)] = (T - longest) * s / 7;
    offsets.back() = T;
    EXPECT_GT(arrays.bytes(chunked{}, offsets), 0u);
    EXPECT_GT(arrays.bytes(recurrent{}, offsets), 0u);
    EXPECT_GT(arrays.bytes(scan{}, offsets), 0u);
  }
}

}  // namespace
