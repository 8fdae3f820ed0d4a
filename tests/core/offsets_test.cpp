// The offsets of packed sequences: one batch, from 0 to the tokens given, never backwards.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <string>
#include <vector>

namespace {

using gatescan::index_t, gatescan::sizes, gatescan::view;

constexpr sizes seven_tokens{
    .sequences = 1, .batch = 1, .time = 7, .heads = 1, .keys = 1, .values = 1};

std::string refusal(const view<const index_t>& offsets, sizes n = seven_tokens) {
  try {
    gatescan::detail::check_offsets(offsets, n, true);
  } catch (const gatescan::shape_error& e) {
    return e.what();
  }
  return "accepted";
}
std::string refusal(const std::vector<index_t>& offsets) {
  return refusal({offsets.data(), {static_cast<index_t>(offsets.size())}});
}

TEST(offsets, count_the_sequences) {
  const std::vector<index_t> offsets{0, 3, 3, 7};
  sizes n = seven_tokens;
  gatescan::detail::check_offsets({offsets.data(), {4}}, n, true);
  EXPECT_EQ(n.sequences, 3);
}

TEST(offsets, go_from_0_to_the_tokens_given_and_never_back) {
  EXPECT_EQ(refusal({1, 7}), "sequence_offsets[0]: expected 0, got 1");
  EXPECT_EQ(refusal({0, 5, 4, 7}), "sequence_offsets[2]: expected at least 5, got 4");
  EXPECT_EQ(refusal({0, 6}), "sequence_offsets[1]: expected 7 (the tokens given), got 6");
  EXPECT_EQ(refusal({0, 8}), "sequence_offsets[1]: expected 7 (the tokens given), got 8");
}

TEST(offsets, are_dense_in_memory_and_of_one_batch) {
  const std::vector<index_t> offsets{0, 3, 7};
  EXPECT_EQ(refusal(view<const index_t>{nullptr, {3}}),
            "sequence_offsets: expected memory for its elements, got [3] at a null pointer");
  EXPECT_EQ(refusal({offsets.data(), {2}, {2}}),
            "sequence_offsets: expected [sequences + 1], dense, got [2]");
  EXPECT_EQ(refusal({offsets.data(), {3}, {1, 1}}),
            "sequence_offsets: expected [sequences + 1], dense, got [3]");
  sizes two = seven_tokens;
  two.batch = 2;
  EXPECT_EQ(refusal({offsets.data(), {3}}, two),
            "sequence_offsets: expected batch 1 with packed sequences, got batch 2");
}

}  // namespace
