#pragma once
// Chunked mode: surrogate attention inside a chunk, the recurrence between chunks.

#include <algorithm>
#include <string>

#include "../core/concepts.hpp"
#include "../core/static_int.hpp"
#include "schedule.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Any chunk size from 1 on; 0 takes the library's choice. Backward keeps the states at chunk
/// starts only.
struct chunked {
  static constexpr const char* name = "chunked";
  template <class R>
  static constexpr bool supports = attention_form<R>;

  int size = 0;

  schedule plan(const sizes&, index_t longest, index_t) const {
    const index_t wanted = size > 0 ? size : default_size;
    const index_t run = std::max<index_t>((std::min)(wanted, longest), 1);
    return {kernel_form::blocks, run, run, 1};
  }
  std::string reason() const {
    return "asked for: chunks of " + std::to_string(size > 0 ? size : default_size) + " tokens";
  }

 private:
  // Forward GLA with K = V = 128 took 30.4 / 31.9 / 31.3 / 39.3 ms with 16 / 32 / 48 / 64 tokens,
  // backward 185 / 159 / 159 / 186 ms (one core, AVX2). Rounding errors of a long sum grow with the
  // number of chunks.
  static constexpr int default_size = 32;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
