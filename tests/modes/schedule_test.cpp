// What modes make of a problem's length, alone: chunks that fit, segments that pay, and sizes that
// cannot be.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <stdexcept>

namespace {

using gatescan::chunked, gatescan::index_t, gatescan::preferences, gatescan::scan, gatescan::sizes;

constexpr sizes some{.sequences = 1, .batch = 1, .time = 100, .heads = 1, .keys = 1, .values = 1};
constexpr preferences best{.forward_chunk = 16, .backward_chunk = 32};

TEST(schedule, sizes_below_0_are_refused) {
  EXPECT_THROW(chunked{-1}.schedule_of(some, 100, best), std::invalid_argument);
  EXPECT_THROW(chunked{-3}.schedule_of(some, 100, best), std::invalid_argument);
  EXPECT_THROW(scan{-1}.schedule_of(some, 100, best), std::invalid_argument);
}

TEST(schedule, chunks_are_the_backends_unless_asked_for_and_no_longer_than_time) {
  EXPECT_EQ(chunked{}.schedule_of(some, 100, best).forward_chunk, 16);
  EXPECT_EQ(chunked{}.schedule_of(some, 100, best).backward_chunk, 32);
  EXPECT_EQ(chunked{5}.schedule_of(some, 100, best).forward_chunk, 5);
  EXPECT_EQ(chunked{500}.schedule_of(some, 100, best).backward_chunk, 100);
  EXPECT_EQ(chunked{}.schedule_of(some, 0, best).forward_chunk, 1);
}

TEST(schedule, segments_are_enough_for_many_threads_and_none_too_short) {
  EXPECT_EQ(best.segments(1 << 20), best.enough_parts);
  EXPECT_EQ(best.segments(640), 10);
  preferences many = best;
  many.parts = 100;
  EXPECT_EQ(many.segments(1 << 20), 1);
}

}  // namespace
