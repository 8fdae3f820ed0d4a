// A plan knows how many sequences are packed, not how long they are: it is enough for any.

#include <gtest/gtest.h>

#include <cstdint>
#include <gatescan/gatescan.hpp>
#include <memory>
#include <utility>
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

// `automatic` runs another mode where sequences are shorter (the first shape: scan or chunks) or
// the gate is one a key (the second: chunks or none): a plan is enough for each.
TEST(plan_of_sequences, IsEnoughForEveryModeThatAutomaticMayRun) {
  struct shape {
    std::int64_t T, H, K, V;
  };
  for (const auto [T, H, K, V] : {shape{5000, 1, 16, 16}, shape{13600, 8, 38, 26}}) {
    const std::int64_t numbers = T * H * K;
    const auto arrays =
        std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(8 * numbers));
    for (const std::int64_t sequences : {1, 2, 400})
      for (const std::int64_t gates : {std::int64_t{1}, K}) {
        SCOPED_TRACE(testing::Message()
                     << "T " << T << ", sequences " << sequences << ", gates " << gates);
        const plan all{cpu{1}, automatic{},
                       gla::problem<float>{
                           .time = T, .heads = H, .keys = K, .values = V, .sequences = sequences}};
        float* next = arrays.get();
        const auto view_of = [&, tokens = T, heads = H](std::int64_t width) {
          return view<float>{std::exchange(next, next + numbers), {1, tokens, heads, width}};
        };
        std::vector<std::int64_t> alike, one_long;
        for (std::int64_t s = 0; s <= sequences; ++s) {
          alike.push_back(T * s / sequences);
          one_long.push_back(s == 0 ? 0 : T - sequences + s);
        }
        gla::inputs<float> in{
            .q = view_of(K), .k = view_of(K), .v = view_of(V), .log_decay = view_of(gates)};
        const gla::gradients<float> d{
            .q = view_of(K), .k = view_of(K), .v = view_of(V), .log_decay = view_of(gates)};
        for (const auto& offsets : {alike, one_long}) {
          in.sequence_offsets = {offsets.data(), {sequences + 1}};
          EXPECT_EQ(all.workspace_bytes(in, d), all.workspace_bytes());
          EXPECT_LE(describe(cpu{1}, automatic{}, in).workspace_bytes, all.workspace_bytes());
        }
      }
  }
}

}  // namespace
