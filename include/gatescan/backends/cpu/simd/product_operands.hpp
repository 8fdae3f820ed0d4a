#pragma once
// What goes into the products of matmul.hpp.

#include <type_traits>

#include "lanes.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {

// Element (m, k) at data[m * row + k * depth]. A stride that is known to be 1 saves the kernel its
// address arithmetic: with a unit row stride 0.9 of the FMA rate instead of 0.7 (32 x 128 x 128,
// AVX2).
using unit = std::integral_constant<index_t, 1>;
template <class T, class Row = index_t, class Depth = index_t>
struct left {
  const T* data;
  Row row;
  Depth depth;

  left from_row(index_t m) const { return {data + m * row, row, depth}; }
};
template <class T>
left<T, unit, index_t> by_columns(const T* data, index_t pitch) {  // element (m, k) at [k][m]
  return {data, {}, pitch};
}
template <class T>
left<T, index_t, unit> by_rows(const T* data, index_t pitch) {  // element (m, k) at [m][k]
  return {data, pitch, {}};
}
// a row-major matrix
template <class T>
struct matrix {
  T* data;
  index_t pitch;
};

/// What a product of a panel adds: factor(t) times its own sum, and a(t, s) b[s] of all s <= t, in
/// the same registers.
template <class T, class Row, class Depth, class Factor>
struct with_lower_product {
  left<T, Row, Depth> a;
  matrix<const T> b;
  Factor factor;       // [row], or `unscaled`
  bool past_caches;    // where results go
  index_t before = 0;  // rows before those at hand

  GATESCAN_INLINE with_lower_product from_row(index_t m) const {
    with_lower_product there = *this;
    there.a = a.from_row(m), there.before = m;
    if constexpr (std::is_pointer_v<Factor>) there.factor += m;
    return there;
  }
  GATESCAN_INLINE pack<T> scaled(index_t m, pack<T> sum) const {
    if constexpr (std::is_pointer_v<Factor>)
      return pack<T>(factor[m]) * sum;
    else
      return sum;
  }
};
struct unscaled {};

struct nothing_more {
  nothing_more from_row(index_t) const { return {}; }
};
template <class More>
GATESCAN_INLINE bool goes_past_caches(const More& more) {
  if constexpr (requires { more.past_caches; })
    return more.past_caches;
  else
    return false;
}

}  // namespace simd
}  // namespace GATESCAN_ABI
}  // namespace gatescan
