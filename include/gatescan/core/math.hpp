#pragma once
// Elementary functions on one number, under the names that recurrences use. A backend adds
// overloads for its registers. Gates rely on exp(0) == 1 and exp(-inf) == 0 exactly.

#include <cmath>

#include "complex.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

GATESCAN_HD inline float exp(float x) { return std::exp(x); }
GATESCAN_HD inline double exp(double x) { return std::exp(x); }
/// e^x - 1 of x <= 0.
GATESCAN_HD inline float expm1_of_negative(float x) { return std::expm1(x); }
GATESCAN_HD inline double expm1_of_negative(double x) { return std::expm1(x); }
GATESCAN_HD inline float log1p(float x) { return std::log1p(x); }
GATESCAN_HD inline double log1p(double x) { return std::log1p(x); }
GATESCAN_HD inline float sqrt(float x) { return std::sqrt(x); }
GATESCAN_HD inline double sqrt(double x) { return std::sqrt(x); }
GATESCAN_HD inline float tanh(float x) { return std::tanh(x); }
GATESCAN_HD inline double tanh(double x) { return std::tanh(x); }
GATESCAN_HD inline float cos(float x) { return std::cos(x); }
GATESCAN_HD inline double cos(double x) { return std::cos(x); }
GATESCAN_HD inline float sin(float x) { return std::sin(x); }
GATESCAN_HD inline double sin(double x) { return std::sin(x); }
/// cos x + i sin x
GATESCAN_HD inline cplx<float> cis(float x) { return {std::cos(x), std::sin(x)}; }
GATESCAN_HD inline cplx<double> cis(double x) { return {std::cos(x), std::sin(x)}; }
GATESCAN_HD inline float larger(float a, float b) { return a < b ? b : a; }
GATESCAN_HD inline double larger(double a, double b) { return a < b ? b : a; }
GATESCAN_HD inline float abs(float a) { return std::fabs(a); }
GATESCAN_HD inline double abs(double a) { return std::fabs(a); }
GATESCAN_HD inline float real_part(float a) { return a; }
GATESCAN_HD inline double real_part(double a) { return a; }
GATESCAN_HD inline float conj(float a) { return a; }
GATESCAN_HD inline double conj(double a) { return a; }

/// e^z of a complex z: exactly 0 where Re z is -inf and Im z is finite.
template <class R>
GATESCAN_HD GATESCAN_INLINE cplx<R> exp(cplx<R> z) {
  return exp(z.re) * cis(z.im);
}

/// log(1 + x) of 0 <= x <= 1.
template <class R>
GATESCAN_HD GATESCAN_INLINE R log1p_of_fraction(R x) {
  return log1p(x);
}
/// e^(a b), for an `a` that meets many b: log2e_a is its product with log2_e.
inline constexpr double log2_e = 1.44269504088896340736;
template <class R>
GATESCAN_HD GATESCAN_INLINE R exp_of_product(R a, R, R b) {
  return exp(a * b);
}
GATESCAN_HD inline float exp_of_product(float, float log2e_a, float b) {
  return std::exp2(log2e_a * b);
}

/// sum += x; where x is several registers beside each other, all of them.
template <class R>
GATESCAN_HD GATESCAN_INLINE void accumulate(R& sum, R x) {
  sum = sum + x;
}

/// Of a real number's gradient, the real part is what counts.
template <class R>
GATESCAN_HD GATESCAN_INLINE void accumulate(R& sum, cplx<R> x) {
  sum = sum + x.re;
}

/// The nearest number to x in [least, most].
template <class R>
GATESCAN_HD GATESCAN_INLINE R clamp(R x, R least, R most) {
  return -larger(-larger(x, least), -most);
}

/// x where gate != 0, and exactly 0 where gate == 0, whatever x is: a reset is a select, not a
/// product.
GATESCAN_HD inline float unless_zero(float gate, float x) { return gate == 0 ? 0 : x; }
GATESCAN_HD inline double unless_zero(double gate, double x) { return gate == 0 ? 0 : x; }
template <class R>
GATESCAN_HD GATESCAN_INLINE cplx<R> unless_zero(cplx<R> gate, cplx<R> x) {
  const R size = abs(gate.re) + abs(gate.im);
  return {unless_zero(size, x.re), unless_zero(size, x.im)};
}

GATESCAN_HD inline float select_negative(float x, float if_negative, float otherwise) {
  return x < 0 ? if_negative : otherwise;
}
GATESCAN_HD inline double select_negative(double x, double if_negative, double otherwise) {
  return x < 0 ? if_negative : otherwise;
}

/// e^-|x|.
template <class R>
GATESCAN_HD GATESCAN_INLINE R exp_of_minus_abs(R x) {
  return exp(-abs(x));
}
/// 1 / x of 1 <= x <= 2, to half of the digits or more: what is missing is mended afterwards.
template <class R>
GATESCAN_HD GATESCAN_INLINE R rough_inverse(R x) {
  return R(1) / x;
}
namespace detail {
// e / (1 + e) of 0 <= e <= 1. A quotient s, which is about e / 2 to e, leaves e - s - s e, of which
// the first difference loses nothing that counts: the error is that of e and one rounding.
template <class R>
GATESCAN_HD GATESCAN_INLINE R over_one_plus(R e) {
  const R inverse = rough_inverse(R(1) + e), s = e * inverse;
  return fma(fnma(s, e, e - s), inverse, s);
}
}  // namespace detail

/// sigmoid(x), and 1 - sigmoid(x) = sigmoid(-x) with nothing lost where that is nearly 0.
template <class R>
struct sigmoid_and_rest {
  R value, rest;
};
template <class R>
GATESCAN_HD GATESCAN_INLINE sigmoid_and_rest<R> sigmoid_with_rest(R x) {
  const R less = detail::over_one_plus(exp_of_minus_abs(x)), more = R(1) - less;
  return {select_negative(x, less, more), select_negative(x, more, less)};
}
/// 1 / (1 + exp(-x)) without overflow: exp is only taken of a number <= 0.
template <class R>
GATESCAN_HD GATESCAN_INLINE R sigmoid(R x) {
  return sigmoid_with_rest(x).value;
}
/// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)).
template <class R>
GATESCAN_HD GATESCAN_INLINE R softplus(R x) {
  return larger(x, R(0)) + log1p_of_fraction(exp_of_minus_abs(x));
}
/// log(sigmoid(x)) = -softplus(-x).
template <class R>
GATESCAN_HD GATESCAN_INLINE R log_sigmoid(R x) {
  return -softplus(-x);
}
template <class R>
GATESCAN_HD GATESCAN_INLINE R silu(R x) {
  return x * sigmoid(x);
}
template <class R>
struct with_slope {
  R value, slope;
};
/// silu and its derivative, sigmoid(x) (1 + x sigmoid(-x)).
template <class R>
GATESCAN_HD GATESCAN_INLINE with_slope<R> silu_with_slope(R x) {
  const auto s = sigmoid_with_rest(x);
  return {x * s.value, s.value * (R(1) + x * s.rest)};
}
template <class R>
GATESCAN_HD GATESCAN_INLINE R silu_slope(R x) {
  return silu_with_slope(x).slope;
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
