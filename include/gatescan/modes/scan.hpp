#pragma once
// Associative scan: time is cut in segments that run in parallel.

#include <algorithm>
#include <string>

#include "../core/concepts.hpp"
#include "../core/error.hpp"
#include "schedule.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

/// Reduce, carry, run: every segment is reduced to (product of gates, local state), the summaries
/// are carried through in order, then every segment runs again from its exact incoming state. Twice
/// the work, parallel over time; less where gates forget, since results of the first run stay from
/// where its state has the bits of the exact one.
struct scan {
  static constexpr const char* name = "scan";
  static constexpr kernel_form form = kernel_form::segments;
  template <class R>
  static constexpr bool supports = scannable<R>;

  int segments = 0;  // 0: chosen by the shape, at least 2; less is std::invalid_argument

  GATESCAN_UNLINKED schedule schedule_of(const sizes&, index_t longest,
                                         const preferences& best) const {
    if (segments < 0)
      fail<std::invalid_argument>(
          "scan: expected at least 1 segment, or 0 for the library's choice, got " +
          std::to_string(segments));
    constexpr index_t chunk = 16;
    const index_t back = std::max<index_t>(chunk, best.backward_chunk);
    const index_t wanted = segments > 0 ? segments : best.segments(longest);
    return {form, chunk, back, std::clamp<index_t>(wanted, segments == 1 ? 1 : 2, 1024)};
  }
  GATESCAN_UNLINKED std::string reason() const { return "asked for: time in parallel segments"; }
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
