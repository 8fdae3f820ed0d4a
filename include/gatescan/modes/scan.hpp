#pragma once
// Associative scan: time is cut in segments that run in parallel.

#include <algorithm>
#include <string>

#include "../core/concepts.hpp"
#include "schedule.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Reduce, carry, run: every segment is reduced to (product of gates, local state), the summaries
/// are carried through in order, then every segment runs again from its exact incoming state. Twice
/// the work, parallel over time.
struct scan {
  static constexpr const char* name = "scan";
  template <class R>
  static constexpr bool supports = scannable<R>;

  int segments = 0;  // 0: chosen by the shape

  schedule schedule_of(const sizes&, index_t longest, const preferences& best) const {
    constexpr index_t run = 16, least_tokens = 64, wanted = preferences::enough_parts;
    index_t n = segments;
    if (n == 0) {  // enough pieces for many threads where there are few heads, and no piece too
                   // short to pay
      n = (wanted + best.parts - 1) / std::max<index_t>(best.parts, 1);
      n = (std::min)(n, longest / least_tokens);
    }
    return {kernel_form::blocks, run, run, std::clamp<index_t>(n, 2, 1024)};
  }
  std::string reason() const { return "asked for: time in parallel segments"; }
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
