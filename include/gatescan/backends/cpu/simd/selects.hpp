#pragma once
// Resets and numbers that are not finite, in registers of real or complex numbers: both are dealt
// with by selects, as 0 times Inf or NaN is NaN.

#include "math.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// `fresh` where the gate is exactly 0, `carried` elsewhere.
template <class C>
GATESCAN_INLINE simd::pack<C> reset_to(simd::pack<C> gate, simd::pack<C> fresh,
                                       simd::pack<C> carried) {
  return gate.v == 0 ? fresh.v : carried.v;
}
template <class C>
GATESCAN_INLINE cplx<simd::pack<C>> reset_to(cplx<simd::pack<C>> gate, cplx<simd::pack<C>> fresh,
                                             cplx<simd::pack<C>> carried) {
  const simd::pack<C> magnitude = simd::abs(gate.re) + simd::abs(gate.im);
  return {reset_to(magnitude, fresh.re, carried.re), reset_to(magnitude, fresh.im, carried.im)};
}

/// Whether all lanes are 0. Of a complex x that is 0 or NaN: products with 0.
template <class C>
bool is_zero(simd::pack<C> x) {
  return simd::sum(simd::abs(x)) == C(0);
}
template <class C>
bool is_zero(cplx<simd::pack<C>> x) {
  return is_zero(x.re + x.im);
}

/// `fast` where x is finite, `exact` elsewhere; a complex number is finite when both parts are.
template <class C>
GATESCAN_INLINE simd::pack<C> unless_finite(simd::pack<C> x, simd::pack<C> fast,
                                            simd::pack<C> exact) {
  return {(x * simd::pack<C>(0)).v == 0 ? fast.v : exact.v};
}
template <class C>
GATESCAN_INLINE cplx<simd::pack<C>> unless_finite(cplx<simd::pack<C>> x, cplx<simd::pack<C>> fast,
                                                  cplx<simd::pack<C>> exact) {
  const auto both = x.re * simd::pack<C>(0) + x.im * simd::pack<C>(0);
  return {unless_finite(both, fast.re, exact.re), unless_finite(both, fast.im, exact.im)};
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
