#pragma once
// The CPU backend as a value: how many threads, and what to do with subnormal numbers.

#include "../../core/macros.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// ieee: the caller's control words are left alone. flush: subnormal results become 0 inside a call
/// (every worker sets it and restores what it found); a gate in (0.5, 1) with no input otherwise
/// parks its state in a slow subnormal.
enum class denormals { ieee, flush };

/// Runs on the host. threads = 0: all cores. The thread count never changes a bit of the result.
struct cpu {
  int threads = 0;
  denormals subnormal = denormals::ieee;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
