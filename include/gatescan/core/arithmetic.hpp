#pragma once
// Sums in the order written and signed zeros are what resets, compensated sums and equal bits are
// made of. gcc says by macros when flags take them away (macros.hpp); clang does not, so a call
// asks what was made of two expressions that tell in every rounding mode. That costs a nanosecond.

#include <cstdint>
#include <stdexcept>

#include "error.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline void check_arithmetic() {
#if defined(__clang__) && (defined(__SSE2__) || defined(__aarch64__))
  float x = 1, y = 1;
#if defined(__SSE2__)
  asm("" : "+x"(x), "+x"(y));  // unknown from here on
#else
  asm("" : "+w"(x), "+w"(y));
#endif
  const auto bits = [](float z) { return __builtin_bit_cast(std::uint32_t, z); };
  const bool reordered = bits(x + 1e30f - 1e30f) == bits(x);
  const bool unsigned_zeros = bits(-(x - y)) == bits(y - x);  // zeros of opposite signs
  if (reordered || unsigned_zeros)
    fail<std::runtime_error>(
        "gatescan needs IEEE arithmetic (resets, NaN): compile without -fassociative-math and "
        "-fno-signed-zeros, which -ffast-math and -funsafe-math-optimizations imply");
#endif
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
