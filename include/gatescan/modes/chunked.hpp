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
    const auto run = [&](int by_default) {
      const index_t wanted = size > 0 ? size : by_default;
      return std::max<index_t>((std::min)(wanted, longest), 1);
    };
    return {kernel_form::blocks, run(default_forward), run(default_backward), 1};
  }
  std::string reason() const {
    return "asked for: chunks of " + std::to_string(size > 0 ? size : default_forward) + " tokens";
  }

 private:
  // Forward GLA with K = V = 128, 8 heads took 30.4 / 31.9 / 31.3 / 39.3 ms with 16 / 32 / 48 / 64
  // tokens, with K = V = 64, 12 heads 16.0 / 18.2 / 22.8 / 23.2 ms, backward with K = V = 128
  // 185 / 159 / 159 / 186 ms: its states at chunk starts leave the caches (one core, AVX2, L 2048).
  static constexpr int default_forward = 16, default_backward = 32;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
