#pragma once
// A parallel loop over independent jobs: OpenMP where the compiler runs it, std::thread otherwise.

#include <atomic>
#if defined(_OPENMP)
#include <omp.h>
#else
#include <thread>
#include <vector>
#endif

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "../../core/view.hpp"
#include "backend.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline int thread_count(const cpu& backend) {
  if (backend.threads > 0) return backend.threads;
#if defined(_OPENMP)
  return omp_get_num_procs();
#else
  const unsigned n = std::thread::hardware_concurrency();
  return n > 0 ? static_cast<int>(n) : 1;
#endif
}

// Sets the worker's flush-to-zero bits for a scope when asked to.
class denormal_scope {
 public:
  explicit denormal_scope([[maybe_unused]] denormals policy) {
#if defined(__SSE2__)
    before_ = _mm_getcsr();
    if (policy == denormals::flush) _mm_setcsr(before_ | 0x8040u);
    changed_ = policy == denormals::flush;
#endif
  }
  denormal_scope(const denormal_scope&) = delete;
  denormal_scope& operator=(const denormal_scope&) = delete;
  ~denormal_scope() {
#if defined(__SSE2__)
    if (changed_) _mm_setcsr((_mm_getcsr() & ~0x8040u) | (before_ & 0x8040u));
#endif
  }

 private:
#if defined(__SSE2__)
  unsigned before_ = 0;
  bool changed_ = false;
#endif
};

// f(job, worker) for every job in [0, jobs); worker < thread_count. Jobs must not touch each
// other's results, so any worker may take any job.
template <class F>
void parallel_for(const cpu& backend, index_t jobs, F&& f) {
  const index_t most = thread_count(backend);
  const int workers = static_cast<int>(jobs < most ? jobs : most);
  const auto work = [&](std::atomic<index_t>& next, int worker) noexcept {
    const denormal_scope scope(backend.subnormal);
    for (index_t job; (job = next.fetch_add(1, std::memory_order_relaxed)) < jobs;) f(job, worker);
  };
  std::atomic<index_t> next{0};
  if (workers <= 1) {
    work(next, 0);
    return;
  }
#if defined(_OPENMP)
#pragma omp parallel for num_threads(workers) schedule(static, 1)
  for (int worker = 0; worker < workers; ++worker) work(next, worker);
#else
  std::vector<std::thread> others;
  others.reserve(static_cast<std::size_t>(workers - 1));
  for (int worker = 1; worker < workers; ++worker)
    others.emplace_back([&, worker] { work(next, worker); });
  work(next, 0);
  for (std::thread& t : others) t.join();
#endif
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
