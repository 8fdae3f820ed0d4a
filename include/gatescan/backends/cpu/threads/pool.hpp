#pragma once
// Threads that wait between calls, where there is no OpenMP: to wake one takes some microseconds,
// to start one some sixty. There are never more than the largest call asked for; calls at the same
// time share them, and every caller does himself what nobody has begun. So a call needs no other
// thread to end: none that could not be started, none that a fork left behind.

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "../../../core/macros.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

class thread_pool {
 public:
  using job_type = void (*)(void* data, int index);

  thread_pool() = default;
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    work_came_.notify_all();
    for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
  }

  /// job(data, i) for every i in [0, jobs), 0 on the thread that calls.
  void run(int jobs, job_type job, void* data) {
    task mine{job, data, jobs};
    {
      const std::lock_guard lock(mutex_);
      start_threads(jobs - 1);
      append(mine);
    }
    work_came_.notify_all();
    job(data, 0);
    std::unique_lock lock(mutex_);
    while (mine.next < mine.jobs) take_job(lock, mine);
    mine.finished.wait(lock, [&] { return mine.at_work == 0; });
  }

  /// The pool of this process. One that a fork left without threads is not used again.
  static thread_pool& of_process() {
    static holder current;
    const pid_t here = getpid();
    thread_pool* pool = current.pool.load(std::memory_order_acquire);
    while (pool == nullptr || pool->process_ != here) {
      auto* const fresh = new thread_pool;
      fresh->inherited_ = pool;
      if (current.pool.compare_exchange_strong(pool, fresh)) return *fresh;
      delete fresh;
    }
    return *pool;
  }

 private:
  struct task {
    job_type job;
    void* data;
    int jobs, next = 1, at_work = 0;
    task* after = nullptr;  // of those with jobs that nobody has begun
    std::condition_variable finished{};
  };
  // At the end of the program, or when the library that this lies in is closed, the threads end.
  struct holder {
    std::atomic<thread_pool*> pool{nullptr};
    ~holder() {
      thread_pool* const last = pool.exchange(nullptr);
      if (last != nullptr && last->process_ == getpid()) delete last;
    }
  };

  // All of these with the mutex held.
  void append(task& t) {
    if (t.next == t.jobs) return;
    task** end = &first_;
    while (*end != nullptr) end = &(*end)->after;
    *end = &t;
  }
  void remove(const task& t) {
    task** at = &first_;
    while (*at != &t) at = &(*at)->after;
    *at = t.after;
  }
  // The lock is given up meanwhile.
  void take_job(std::unique_lock<std::mutex>& lock, task& t) {
    const int index = t.next++;
    if (t.next == t.jobs) remove(t);
    ++t.at_work;
    lock.unlock();
    t.job(t.data, index);
    lock.lock();
    if (--t.at_work == 0) t.finished.notify_one();
  }
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      work_came_.wait(lock, [&] { return first_ != nullptr || ends_; });
      if (first_ == nullptr) return;
      take_job(lock, *first_);
    }
  }
  // Goes on with those there are where the system gives no more. Signals are for the program's own
  // threads.
  void start_threads(int wanted) {
    if (static_cast<int>(threads_.size()) >= wanted) return;
    threads_.reserve(static_cast<std::size_t>(wanted));
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const auto begin = [](void* pool) -> void* {
      static_cast<thread_pool*>(pool)->work();
      return nullptr;
    };
    pthread_t thread;
    while (static_cast<int>(threads_.size()) < wanted &&
           pthread_create(&thread, nullptr, begin, this) == 0)
      threads_.push_back(thread);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  std::mutex mutex_;
  std::condition_variable work_came_;
  task* first_ = nullptr;
  bool ends_ = false;
  std::vector<pthread_t> threads_;
  pid_t process_ = getpid();
  thread_pool* inherited_ = nullptr;  // of the process that forked this one
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
