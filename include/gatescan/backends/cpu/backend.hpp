#pragma once
// The CPU backend as a value: how many threads, and what to do with subnormal numbers.

#include <cstddef>
#include <memory>

#include "../../core/macros.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// ieee: the caller's control words are left alone. flush: subnormal results become 0 inside a call
/// (every worker sets it and restores what it found); a gate in (0.5, 1) with no input otherwise
/// parks its state in a slow subnormal.
enum class denormals { ieee, flush };

/// Runs on the host. threads = 0: all cores. The thread count never changes a bit of the result.
struct cpu {
  static constexpr bool on_device = false;
  int threads = 0;
  denormals subnormal = denormals::ieee;

  friend std::unique_ptr<std::byte[]> own_scratch(const cpu&, std::size_t bytes) {
    return bytes > 0 ? std::make_unique_for_overwrite<std::byte[]>(bytes) : nullptr;
  }
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
