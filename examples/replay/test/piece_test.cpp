// Pieces of ranks: each token, and each state that begins or ends, is one rank's, in order.
#include "piece.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace replay {
namespace {

using list = std::vector<std::int64_t>;

// What ranks write one after another is the whole.
void expect_whole(const piece& any, owners by, std::int64_t extent) {
  std::int64_t at = 0;
  for (int r = 0; r < any.ranks(); ++r) {
    const range some = any.written(by, extent, r);
    if (some.count() == 0) continue;
    EXPECT_EQ(some.begin, at);
    at = some.end;
  }
  EXPECT_EQ(at, extent);
}

TEST(Piece, RanksHaveEveryTokenOnce) {
  for (const std::int64_t tokens : {0, 1, 2, 15, 16, 17, 63, 64, 100, 763})
    for (int ranks = 1; ranks <= 9; ++ranks) {
      SCOPED_TRACE(testing::Message() << tokens << " tokens, " << ranks << " ranks");
      const piece any(tokens, {}, 0, ranks);
      expect_whole(any, owners::time, tokens);
      for (const owners by : {owners::begins, owners::ends, owners::first})
        expect_whole(any, by, 3);
      for (int r = 0; r < ranks; ++r)  // nobody is idle who need not be
        EXPECT_EQ(piece(tokens, {}, r, ranks).tokens().count() > 0, r < tokens);
    }
}

TEST(Piece, CutsWhereSegmentsOfScanDo) {
  EXPECT_EQ(piece(763, {}, 0, 4).tokens().count(), 192);
  EXPECT_EQ(piece(763, {}, 3, 4).tokens().count(), 187);
  EXPECT_EQ(piece(40, {}, 2, 3).tokens().count(), 8);
}

TEST(Piece, PackedSequencesGoOnFromRankToRank) {
  for (const list& all :
       {list{0}, list{0, 0, 0}, list{0, 1, 1}, list{0, 0, 7, 31, 31, 32, 48, 83, 83}, list{0, 83},
        list{0, 16, 32, 32, 48}})
    for (int ranks = 1; ranks <= 7; ++ranks) {
      SCOPED_TRACE(testing::Message() << all.back() << " tokens, " << ranks << " ranks");
      const std::int64_t count = static_cast<std::int64_t>(all.size()) - 1;
      bool goes_on = false;  // from the ranks before
      for (int r = 0; r < ranks; ++r) {
        const piece one(all.back(), all, r, ranks);
        for (const owners by : {owners::begins, owners::ends}) expect_whole(one, by, count);
        const list mine = one.offsets();
        ASSERT_EQ(static_cast<std::int64_t>(mine.size()), one.sequences().count() + 1);
        EXPECT_EQ(mine.front(), 0);
        EXPECT_EQ(mine.back(), one.tokens().count());
        EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
        if (one.tokens().count() == 0) continue;
        EXPECT_EQ(one.continues(), goes_on);
        goes_on = all[static_cast<std::size_t>(one.sequences().end)] > one.tokens().end;
      }
    }
}

}  // namespace
}  // namespace replay
