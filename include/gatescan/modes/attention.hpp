#pragma once
// Full surrogate attention: the whole sequence is one chunk.

#include <algorithm>
#include <string>

#include "../core/concepts.hpp"
#include "schedule.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

/// o_t = sum_{s<=t} P_ts v_s + (decayed q_t)^T S_0 with P never stored whole. Work grows with L^2,
/// scratch with L.
struct attention {
  static constexpr const char* name = "attention";
  static constexpr kernel_form form = kernel_form::attention;
  template <class R>
  static constexpr bool supports = attention_form<R>;

  GATESCAN_UNLINKED schedule schedule_of(const sizes&, index_t longest, const preferences&) const {
    const index_t whole = std::max<index_t>(longest, 1);
    return {form, whole, whole, 1};
  }
  GATESCAN_UNLINKED std::string reason() const { return "asked for: full surrogate attention"; }
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
