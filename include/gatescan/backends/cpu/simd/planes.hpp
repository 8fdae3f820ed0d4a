#pragma once
// One plane of numbers, or two: real parts, and imaginary parts beside them.

#include "arrays.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex>
struct planes {
  using E = element_t<C, IsComplex>;
  C* re = nullptr;
  C* im = nullptr;

  planes() = default;
  planes(C* first, index_t plane) : re(first), im(IsComplex ? first + plane : nullptr) {}

  GATESCAN_INLINE E load(index_t i) const {
    if constexpr (IsComplex)
      return {simd::load(re + i), simd::load(im + i)};
    else
      return simd::load(re + i);
  }
  GATESCAN_INLINE void store(index_t i, E x) const {
    if constexpr (IsComplex) {
      simd::store(re + i, x.re);
      simd::store(im + i, x.im);
    } else {
      simd::store(re + i, x);
    }
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
