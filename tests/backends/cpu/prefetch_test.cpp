// The prefetcher asks for every cache line of the rows it was given, for no other, in as many calls
// as were said, and catches up where calls were missed.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <set>
#include <vector>

namespace {

using gatescan::index_t, gatescan::operand;

std::multiset<const char*> asked;

struct note_line {
  void operator()(const char* p) const { asked.insert(p); }
};
using prefetcher = gatescan::detail::prefetcher_to<1, note_line>;

constexpr index_t line = 64;

class prefetch : public ::testing::Test {
 protected:
  void SetUp() override { asked.clear(); }

  // rows [t, last) of x, and the lines of their `bytes` bytes
  template <class T>
  void expect_lines(const T* first, index_t pitch, index_t rows, index_t bytes) {
    for (index_t r = 0; r < rows; ++r)
      for (index_t at = 0; at < bytes; at += line)
        wanted_.insert(reinterpret_cast<const char*>(first + r * pitch) + at);
  }
  void expect_all_asked() const {
    EXPECT_EQ(std::set<const char*>(asked.begin(), asked.end()), wanted_);
  }

  std::set<const char*> wanted_;
  std::vector<float> memory_ = std::vector<float>(100000);
};

operand<const float> rows_of(const float* first, index_t time, index_t key, index_t value) {
  operand<const float> x;
  x.re = first, x.given = true;
  x.time = time, x.key = key, x.value = value;
  return x;
}

TEST_F(prefetch, every_line_of_every_row_and_no_other) {
  for (const index_t rows : {1, 3, 4, 5, 16, 31})
    for (const index_t keys : {1, 15, 16, 17, 100})
      for (const index_t steps : {1, 2, 7, 1000}) {
        asked.clear(), wanted_.clear();
        prefetcher p;
        p.add(rows_of(memory_.data(), 300, 1, 0), 5, 5 + rows, keys, 8);
        p.add(rows_of(memory_.data() + 50000, 700, 0, 1), 0, rows, keys, 40);
        p.begin(steps);
        for (index_t i = 0; i < steps; ++i) p.step();
        expect_lines(memory_.data() + 5 * 300, 300, rows, keys * 4);
        expect_lines(memory_.data() + 50000, 700, rows, 40 * 4);
        ASSERT_NO_FATAL_FAILURE(expect_all_asked());
        ASSERT_FALSE(HasFailure()) << rows << " rows of " << keys << " in " << steps;
        const std::size_t done = asked.size();
        p.step();  // nothing is left
        ASSERT_EQ(asked.size(), done);
      }
}

TEST_F(prefetch, both_planes_and_numbers_by_turns) {
  prefetcher p;
  auto planes = rows_of(memory_.data(), 200, 1, 0);
  planes.im = memory_.data() + 20000;
  auto by_turns = rows_of(memory_.data() + 40000, 200, 2, 0);
  by_turns.im = by_turns.re + 1;
  p.add(planes, 0, 6, 20, 1);
  p.add(by_turns, 0, 6, 20, 1);
  p.begin(3);
  for (int i = 0; i < 3; ++i) p.step();
  expect_lines(memory_.data(), 200, 6, 20 * 4);
  expect_lines(memory_.data() + 20000, 200, 6, 20 * 4);
  expect_lines(memory_.data() + 40000, 200, 6, 2 * 20 * 4);
  expect_all_asked();
}

TEST_F(prefetch, what_has_no_rows_asks_for_nothing) {
  prefetcher p;
  p.add(operand<const float>{}, 0, 4, 8, 8);              // not given
  p.add(rows_of(memory_.data(), 0, 1, 0), 0, 4, 8, 8);    // the same at all times
  p.add(rows_of(memory_.data(), 100, 1, 0), 4, 4, 8, 8);  // no tokens
  p.begin(2);
  p.step(), p.step();
  EXPECT_TRUE(asked.empty());
}

TEST_F(prefetch, catches_up_with_the_work_that_is_done) {
  prefetcher p;
  p.add_rows(memory_.data(), 64, 40, 32);  // 40 rows of two lines, four rows at a time
  p.begin(10);
  p.catch_up(1, 4);
  const std::size_t quarter = asked.size();
  EXPECT_EQ(quarter, 20u);
  p.catch_up(1, 4);
  EXPECT_EQ(asked.size(), quarter);
  p.catch_up(4, 4);
  expect_lines(memory_.data(), 64, 40, 32 * 4);
  expect_all_asked();
}

}  // namespace
