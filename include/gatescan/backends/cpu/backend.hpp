#pragma once
// The CPU backend as a value: on which threads, and what to do with subnormal numbers.

#include <cstddef>
#include <memory>

#include "../../core/macros.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

/// ieee: the caller's control word is kept: every worker of a call takes the one of the thread that
/// called, and gives its own back. flush: subnormal results become 0 inside a call besides; a gate
/// in (0.5, 1) with no input otherwise parks its state in a slow subnormal.
enum class denormals { ieee, flush };

/// Threads of the caller's: run(context, jobs, job, data) calls job(data, i) once for every i in
/// [0, jobs), on any threads, in any order, and returns when all of them have returned. A job that
/// has begun may wait for another that has begun; none waits for one that has not.
struct executor {
  void (*run)(void* context, int jobs, void (*job)(void* data, int index), void* data) = nullptr;
  void* context = nullptr;
};

/// Runs on the host.
///
/// threads:   at most so many at once. 0: as many as the work is worth, of those that there are for
///            this process, which OpenMP says (OMP_NUM_THREADS) or, without it, the affinity mask.
///            That is asked once a call, and by a plan when it is made. The thread count never
///            changes a bit of the result.
/// run:       the threads themselves: OpenMP's where the compiler runs it, else a pool that the
///            first call makes that needs one; or the caller's, and then no region of OpenMP.
/// Errors:    std::invalid_argument for a negative count, before anything is written.
/// fork:      a child may call with any number of threads where there is no OpenMP, or with `run`.
///            GNU's OpenMP does not outlive fork: after a region in the parent, a child that opens
///            one waits for ever. There it may call with one thread.
struct cpu {
  static constexpr bool on_device = false;
  int threads = 0;
  denormals subnormal = denormals::ieee;
  executor run{};

  friend GATESCAN_UNLINKED std::unique_ptr<std::byte[]> own_scratch(const cpu&, std::size_t bytes) {
    // not make_unique_for_overwrite, which libc++ 14 does not have
    return std::unique_ptr<std::byte[]>(bytes > 0 ? new std::byte[bytes] : nullptr);
  }
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
