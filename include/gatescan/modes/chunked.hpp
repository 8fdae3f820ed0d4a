#pragma once
// Chunked mode: surrogate attention inside a chunk, the recurrence between chunks.

#include <algorithm>
#include <string>

#include "../core/concepts.hpp"
#include "../core/error.hpp"
#include "../core/static_int.hpp"
#include "schedule.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

/// Any chunk size from 1 on; 0 takes the library's choice, less is std::invalid_argument. Backward
/// keeps the states at chunk starts only.
struct chunked {
  static constexpr const char* name = "chunked";
  static constexpr kernel_form form = kernel_form::chunks;
  template <class R>
  static constexpr bool supports = attention_form<R>;

  int size = 0;

  GATESCAN_UNLINKED schedule schedule_of(const sizes&, index_t longest,
                                         const preferences& best) const {
    if (size < 0)
      fail<std::invalid_argument>(
          "chunked: expected at least 1 token a chunk, or 0 for the library's choice, got " +
          std::to_string(size));
    const auto tokens = [&](int by_default) {
      const index_t wanted = size > 0 ? size : by_default;
      return std::max<index_t>((std::min)(wanted, longest), 1);
    };
    return {form, tokens(best.forward_chunk), tokens(best.backward_chunk), 1};
  }
  GATESCAN_UNLINKED std::string reason() const {
    return "asked for: chunks of " +
           (size > 0 ? std::to_string(size) : std::string("the backend's choice of")) + " tokens";
  }
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
