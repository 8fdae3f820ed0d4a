// The parallel loop alone: every job once, by no more workers than the count that was fixed, on the
// caller's threads if he gives some; and how that count comes about.
#include <gtest/gtest.h>

#include <atomic>
#include <gatescan/backends/cpu/threads/parallel_for.hpp>
#include <stdexcept>
#include <vector>

namespace {

using gatescan::cpu, gatescan::executor, gatescan::index_t;
using gatescan::detail::parallel_for, gatescan::detail::with_fixed_threads;

constexpr double much = 1e12;  // updates

TEST(parallel_for, takes_every_job_once) {
  for (const int threads : {1, 2, 5})
    for (const index_t jobs : {0, 1, 3, 100}) {
      std::vector<std::atomic<int>> times(static_cast<std::size_t>(jobs));
      parallel_for(cpu{.threads = threads}, jobs,
                   [&](index_t job, int) { ++times[static_cast<std::size_t>(job)]; });
      for (const auto& n : times) EXPECT_EQ(n, 1);
    }
}

// Scratch is laid out for the workers that were counted.
TEST(parallel_for, has_no_more_workers_than_its_count) {
  static std::atomic<int> most;
  most = 0;
  const auto counts = [](void*, int jobs, void (*job)(void*, int), void* data) {
    most = jobs;
    for (int i = 0; i < jobs; ++i) job(data, i);
  };
  for (const int threads : {2, 3, 7}) {
    parallel_for(cpu{.threads = threads, .run = {counts}}, 100,
                 [&](index_t, int worker) { EXPECT_LT(worker, threads); });
    EXPECT_EQ(most, threads);
  }
  parallel_for(cpu{.threads = 7, .run = {counts}}, 4, [](index_t, int) {});
  EXPECT_EQ(most, 4);
}

TEST(parallel_for, asks_nobody_for_one_worker) {
  const executor never{[](void*, int, void (*)(void*, int), void*) { FAIL() << "called"; }};
  int done = 0;
  parallel_for(cpu{.threads = 1, .run = never}, 10, [&](index_t, int) { ++done; });
  EXPECT_EQ(done, 10);
}

TEST(fixed_threads, are_those_asked_for) {
  for (const int n : {1, 2, 100}) EXPECT_EQ(with_fixed_threads({.threads = n}, 1).threads, n);
  EXPECT_THROW(with_fixed_threads({.threads = -1}, much), std::invalid_argument);
  EXPECT_THROW(with_fixed_threads({.threads = -5}, 1), std::invalid_argument);
}

TEST(fixed_threads, are_one_for_little_work_and_all_for_much) {
  EXPECT_EQ(with_fixed_threads({}, 0).threads, 1);
  EXPECT_EQ(with_fixed_threads({}, 1000).threads, 1);
  EXPECT_EQ(with_fixed_threads({}, much).threads, gatescan::detail::threads_there_are());
}

}  // namespace
