#pragma once
// Recurrent mode: one token after another, constant memory, the definition itself.

#include <algorithm>
#include <string>

#include "../core/concepts.hpp"
#include "schedule.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

/// h_t from h_{t-1}, token by token. Streaming in pieces gives the same bits as one call. Backward
/// recomputes states from about sqrt(L) of them.
struct recurrent {
  static constexpr const char* name = "recurrent";
  static constexpr kernel_form form = kernel_form::steps;
  template <class R>
  static constexpr bool supports = recurrence<R>;

  GATESCAN_UNLINKED schedule schedule_of(const sizes& n, index_t, const preferences&) const {
    // Tokens from one kept state to the next: by all of time, as a plan, which knows no sequences.
    index_t kept = 16;
    while (kept * kept < n.time && kept < 1024) kept *= 2;
    return {form, 16, kept, 1};
  }
  GATESCAN_UNLINKED std::string reason() const { return "asked for: one token after another"; }
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
