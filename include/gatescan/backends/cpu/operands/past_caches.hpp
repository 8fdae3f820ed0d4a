#pragma once
// Results that are stored past the caches.

#include <type_traits>

#include "../../../core/operand.hpp"
#include "../simd/arrays.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Whether a result's rows, `numbers` in all, are more than the caches hold and lie where registers
/// can be stored past them.
template <class C, class S>
bool goes_past_caches(const operand<S>& out, index_t numbers) {
  return std::is_same_v<S, C> && out.given && exceeds_caches<C>(numbers) &&
         is_aligned(out.re, simd::stream_alignment) &&
         is_aligned(out.re + out.time, simd::stream_alignment);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
