// The pool of threads that calls share where there is no OpenMP: every job runs once, whoever calls
// at the same time, from inside a job, after a fork, and where no thread can be started.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <atomic>
#include <gatescan/backends/cpu/threads/pool.hpp>
#include <set>
#include <thread>
#include <vector>

namespace {

using gatescan::detail::thread_pool;

// How often each of `jobs` jobs ran.
struct tally {
  explicit tally(int jobs) : times(static_cast<std::size_t>(jobs)) {}
  void run(thread_pool& pool) { pool.run(static_cast<int>(times.size()), &count, this); }
  bool each_once() const {
    for (const auto& n : times)
      if (n != 1) return false;
    return true;
  }
  static void count(void* data, int i) {
    ++static_cast<tally*>(data)->times[static_cast<std::size_t>(i)];
  }
  std::vector<std::atomic<int>> times;
};

TEST(thread_pool, runs_every_job_once) {
  thread_pool pool;
  for (int i = 0; i < 200; ++i)
    for (const int jobs : {1, 2, 3, 8}) {
      tally all(jobs);
      all.run(pool);
      ASSERT_TRUE(all.each_once()) << jobs;
    }
}

// Jobs that only end together have a thread each, and the next call has the same threads.
TEST(thread_pool, its_threads_wait_for_the_next_call) {
  struct meeting {
    std::atomic<int> there{0};
    std::set<std::thread::id> threads[4];
    static void join(void* data, int i) {
      auto& all = *static_cast<meeting*>(data);
      all.threads[i].insert(std::this_thread::get_id());
      ++all.there;
      while (all.there % 4 != 0) std::this_thread::yield();
    }
  } all;
  thread_pool pool;
  for (int call = 0; call < 3; ++call) pool.run(4, &meeting::join, &all);
  std::set<std::thread::id> threads;
  for (const auto& some : all.threads) threads.insert(some.begin(), some.end());
  EXPECT_EQ(threads.size(), 4u);
}

TEST(thread_pool, is_shared_by_calls_at_the_same_time) {
  thread_pool pool;
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 8; ++i)
    callers.emplace_back([&] {
      for (int call = 0; call < 200; ++call) {
        tally all(5);
        all.run(pool);
        wrong += !all.each_once();
      }
    });
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(thread_pool, may_be_called_from_a_job) {
  struct nest {
    thread_pool pool;
    std::atomic<int> right{0};
    static void call(void* data, int) {
      auto& outer = *static_cast<nest*>(data);
      tally inner(3);
      inner.run(outer.pool);
      outer.right += inner.each_once();
    }
  } all;
  all.pool.run(6, &nest::call, &all);
  EXPECT_EQ(all.right, 6);
}

#if defined(__SANITIZE_THREAD__)
#define GATESCAN_SKIP_FORK GTEST_SKIP() << "its runtime starts no threads after a fork"
#else
#define GATESCAN_SKIP_FORK static_cast<void>(0)
#endif

// What f returns in a child process, which has twenty seconds.
template <class F>
int in_a_child(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(f());
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

// The child has threads of its own: jobs that wait for each other end.
TEST(thread_pool, outlives_a_fork) {
  GATESCAN_SKIP_FORK;
  tally(4).run(thread_pool::of_process());
  EXPECT_EQ(in_a_child([] {
              std::atomic<int> there{0};
              const auto wait_for_all = [](void* data, int) {
                auto& arrived = *static_cast<std::atomic<int>*>(data);
                ++arrived;
                while (arrived < 4) std::this_thread::yield();
              };
              thread_pool::of_process().run(4, wait_for_all, &there);
              return there == 4 ? 0 : 1;
            }),
            0);
  tally all(4);
  all.run(thread_pool::of_process());
  EXPECT_TRUE(all.each_once());
}

TEST(thread_pool, goes_on_without_threads_that_cannot_be_started) {
  GATESCAN_SKIP_FORK;
  constexpr int bound = 2;
  const int status = in_a_child([] {
    const rlimit none{0, 0};  // does not bind root
    if (setrlimit(RLIMIT_NPROC, &none) != 0 || (getuid() == 0 && setuid(65534) != 0)) return bound;
    pthread_t thread;
    const auto nothing = [](void*) -> void* { return nullptr; };
    if (pthread_create(&thread, nullptr, nothing, nullptr) == 0) return bound;
    thread_pool pool;
    tally all(4);
    all.run(pool);
    return all.each_once() ? 0 : 1;
  });
  if (WIFEXITED(status) && WEXITSTATUS(status) == bound) GTEST_SKIP() << "nothing limits threads";
  EXPECT_EQ(status, 0);
}

}  // namespace
