#pragma once
// Complex numbers over any register type, with plain products: std::complex would check every
// product for NaN.

#include <cmath>

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

// a b + c; before what calls it for the parts of complex numbers
GATESCAN_HD inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
GATESCAN_HD inline double fma(double a, double b, double c) { return std::fma(a, b, c); }
/// c - a b, rounded once.
GATESCAN_HD inline float fnma(float a, float b, float c) { return std::fma(-a, b, c); }
GATESCAN_HD inline double fnma(double a, double b, double c) { return std::fma(-a, b, c); }

template <class R>
struct cplx {
  R re, im;

  GATESCAN_HD friend GATESCAN_INLINE cplx operator+(cplx a, cplx b) {
    return {a.re + b.re, a.im + b.im};
  }
  GATESCAN_HD friend GATESCAN_INLINE cplx operator-(cplx a, cplx b) {
    return {a.re - b.re, a.im - b.im};
  }
  GATESCAN_HD friend GATESCAN_INLINE cplx operator-(cplx a) { return {-a.re, -a.im}; }
  GATESCAN_HD friend GATESCAN_INLINE cplx operator*(cplx a, cplx b) {
    return {fma(-a.im, b.im, a.re * b.re), fma(a.im, b.re, a.re * b.im)};
  }
  GATESCAN_HD friend GATESCAN_INLINE cplx operator*(cplx a, R b) { return {a.re * b, a.im * b}; }
  GATESCAN_HD friend GATESCAN_INLINE cplx operator*(R a, cplx b) { return {a * b.re, a * b.im}; }
};

template <class R>
GATESCAN_HD GATESCAN_INLINE cplx<R> conj(cplx<R> z) {
  return {z.re, -z.im};
}
template <class R>
GATESCAN_HD GATESCAN_INLINE R real_part(cplx<R> z) {
  return z.re;
}

template <class R>
GATESCAN_HD GATESCAN_INLINE cplx<R> fma(cplx<R> a, cplx<R> b, cplx<R> c) {
  return {fma(a.re, b.re, fma(-a.im, b.im, c.re)), fma(a.re, b.im, fma(a.im, b.re, c.im))};
}
template <class R>
GATESCAN_HD GATESCAN_INLINE cplx<R> fma(cplx<R> a, R b, cplx<R> c) {
  return {fma(a.re, b, c.re), fma(a.im, b, c.im)};
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
