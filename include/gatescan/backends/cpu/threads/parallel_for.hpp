#pragma once
// A parallel loop over independent jobs, on OpenMP's threads, the library's pool or the caller's.

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#if defined(_OPENMP)
#include <omp.h>
#else
#include <thread>
#if defined(__linux__)
#include <sched.h>
#endif
#include "pool.hpp"
#endif

#include "../../../core/error.hpp"
#include "../../../core/view.hpp"
#include "../tuning.hpp"
#include "control_word.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// As many as this process is meant to use.
inline int threads_there_are() {
#if defined(_OPENMP)
  return (std::max)(omp_get_max_threads(), 1);
#else
#if defined(__linux__)
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return (std::max)(CPU_COUNT(&cores), 1);
#endif
  return (std::max)(static_cast<int>(std::thread::hardware_concurrency()), 1);
#endif
}

/// The count asked for once, so that scratch and work are shared out by the same one. Where it is
/// ours to choose, little work (in updates of a state's numbers) gets fewer than there are.
inline cpu with_fixed_threads(cpu backend, double updates) {
  if (backend.threads < 0)
    fail<std::invalid_argument>("threads: expected 0 (all there are) or more, got " +
                                std::to_string(backend.threads));
  if (backend.threads > 0) return backend;
  const double worth = updates / tuning.updates_worth_a_thread;
  const int most = worth < 2 ? 1 : threads_there_are();  // little work asks nobody
  backend.threads = worth < most ? (std::max)(static_cast<int>(worth), 1) : most;
  return backend;
}

// job(data, i) for every i in [0, jobs) on the backend's threads
inline void run_jobs(const executor& callers, int jobs, void (*job)(void*, int), void* data) {
  if (callers.run != nullptr) return callers.run(callers.context, jobs, job, data);
#if defined(_OPENMP)
#pragma omp parallel for num_threads(jobs) schedule(static, 1)
  for (int i = 0; i < jobs; ++i) job(data, i);
#else
  thread_pool::of_process().run(jobs, job, data);
#endif
}

/// f(job, worker) for every job in [0, jobs), begun in this order; worker < backend.threads, which
/// is fixed. Jobs must not touch each other's results, so that any worker may take any job.
template <class F>
void parallel_for(const cpu& backend, index_t jobs, const F& f) {
  struct loop {
    const F& f;
    index_t jobs;
    bool alone;
    unsigned control_word;
    std::atomic<index_t> next{0};

    index_t take() {
      if (!alone) return next.fetch_add(1, std::memory_order_relaxed);
      const index_t job = next.load(std::memory_order_relaxed);
      next.store(job + 1, std::memory_order_relaxed);
      return job;
    }
  };
  const index_t workers = std::min<index_t>(jobs, backend.threads);
  loop here{f, jobs, workers < 2, control_word_scope::wanted(backend.subnormal)};
  const auto work = [](void* data, int worker) noexcept {
    loop& all = *static_cast<loop*>(data);
    const control_word_scope scope(all.control_word);
    for (index_t job; (job = all.take()) < all.jobs;) all.f(job, worker);
  };
  if (workers > 1)
    run_jobs(backend.run, static_cast<int>(workers), work, &here);
  else
    work(&here, 0);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
