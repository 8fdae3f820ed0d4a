// Independent jobs on a few threads. Each job's work is fixed, so the results do not depend on how
// many threads there are or on which of them takes a job.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace char_lm {

/// Calls job(0) .. job(jobs - 1). An exception of a job is thrown again here.
template <class Job>
void parallel_for(int threads, int jobs, const Job& job) {
  std::atomic<int> next{0};
  std::vector<std::exception_ptr> failed(static_cast<std::size_t>(jobs));
  const auto work = [&] {
    for (int i = next++; i < jobs; i = next++) {
      try {
        job(i);
      } catch (...) {
        failed[static_cast<std::size_t>(i)] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> helpers;
  for (int t = 1; t < std::min(threads, jobs); ++t) helpers.emplace_back(work);
  work();
  for (std::thread& t : helpers) t.join();
  for (const std::exception_ptr& e : failed)
    if (e) std::rethrow_exception(e);
}

}  // namespace char_lm
