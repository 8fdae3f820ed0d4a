#pragma once
// Elementary functions on registers: at most 2 ulp, exact at 0 and right at the infinities and for
// subnormals. The rarer ones go lane by lane through the C library.

#include <cmath>
#include <limits>

#include "../../../core/math.hpp"
#include "pack.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {
namespace detail {

constexpr double inverse_factorial(int n) {
  double f = 1;
  for (int i = 2; i <= n; ++i) f *= i;
  return 1 / f;
}

// ln(2)^n / n!
constexpr double ln2_term(int n) {
  double term = 1;
  for (int i = 1; i <= n; ++i) term *= 0.69314718055994530942 / i;
  return term;
}

template <class T>
struct exp_constants;
template <>
struct exp_constants<float> {
  static constexpr float round = 0x1.8p23f, log2e = 0x1.715476p0f;
  static constexpr float ln2_high = 0x1.63p-1f, ln2_low = -0x1.bd0106p-13f;
  static constexpr float lowest = -105.0f, highest = 90.0f, normal = 87.0f;
  static constexpr int mantissa = 23, bias = 127, degree = 6;
  // least relative error of e^r over |r| <= ln 2 / 2: 2^-26
  static constexpr float c[] = {0x1p-1f, 0x1.5554b4p-3f, 0x1.555334p-5f, 0x1.12240ap-7f,
                                0x1.6f873ep-10f};
  // least relative error of 2^f over |f| <= 1/2: 2^-28
  static constexpr int binary_degree = 6;
  static constexpr float binary[] = {0x1.62e430p-1f, 0x1.ebfbdcp-3f,  0x1.c6aee8p-5f,
                                     0x1.3b2d4ap-7f, 0x1.5f3e2cp-10f, 0x1.41fd04p-13f};
  static constexpr float reach = 125;  // exponents that a mantissa in [1/2, 2) stays normal with
};
template <>
struct exp_constants<double> {
  static constexpr double round = 0x1.8p52, log2e = 0x1.71547652b82fep0;
  static constexpr double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double lowest = -746.0, highest = 711.0, normal = 708.0;
  static constexpr int mantissa = 52, bias = 1023, degree = 13;
  static constexpr double c[] = {
      inverse_factorial(2),  inverse_factorial(3),  inverse_factorial(4),  inverse_factorial(5),
      inverse_factorial(6),  inverse_factorial(7),  inverse_factorial(8),  inverse_factorial(9),
      inverse_factorial(10), inverse_factorial(11), inverse_factorial(12), inverse_factorial(13)};
  static constexpr int binary_degree = 13;
  static constexpr double binary[] = {
      ln2_term(1), ln2_term(2), ln2_term(3),  ln2_term(4),  ln2_term(5),  ln2_term(6), ln2_term(7),
      ln2_term(8), ln2_term(9), ln2_term(10), ln2_term(11), ln2_term(12), ln2_term(13)};
  static constexpr double reach = 1021;
};

// e^x = 2^n mantissa: x = n ln 2 + r, |r| <= ln 2 / 2, mantissa = 1 + r + r^2 (c_2 + c_3 r + ...).
// n is in the low bits of `shifted`. R is a register or several.
template <class R>
struct exp_parts {
  R mantissa, shifted;
};
// the same with mantissa - 1
template <class T, class R>
GATESCAN_INLINE exp_parts<R> expm1_of(R x) {
  using constants = exp_constants<T>;
  const R magic(constants::round);
  const R shifted = fma(x, R(constants::log2e), magic), n = shifted - magic;
  const R r = fma(n, R(-constants::ln2_low), fma(n, R(-constants::ln2_high), x));
  R p(constants::c[constants::degree - 2]);
#pragma GCC unroll 16
  for (int k = constants::degree - 3; k >= 0; --k) p = fma(p, r, R(constants::c[k]));
  return {fma(p, r * r, r), shifted};
}
template <class T, class R>
GATESCAN_INLINE exp_parts<R> exp_of(R x) {
  const auto y = expm1_of<T>(x);
  return {y.mantissa + R(1), y.shifted};
}
/// mantissa times 2^n, where that is a normal number; anything elsewhere.
template <class T>
GATESCAN_INLINE pack<T> scaled(pack<T> mantissa, pack<T> shifted) {
  using bits = typename pack<T>::native_bits;
  // the bits of exp_constants::round that the shift leaves are 0
  return {reinterpret_cast<typename pack<T>::native>(
      reinterpret_cast<bits>(mantissa.v) +
      (reinterpret_cast<bits>(shifted.v) << exp_constants<T>::mantissa))};
}
// In two steps: subnormal results round once and nothing overflows on the way.
template <class T>
__attribute__((noinline)) pack<T> far_exp(pack<T> x) {
  using constants = exp_constants<T>;
  using P = pack<T>;
  using integers = typename P::native_integer;
  x.v = x.v < constants::lowest ? P(constants::lowest).v : x.v;
  x.v = x.v > constants::highest ? P(constants::highest).v : x.v;
  const auto y = exp_of<T>(x);
  const integers exponent =
      reinterpret_cast<integers>(y.shifted.v) - reinterpret_cast<integers>(P(constants::round).v);
  const integers first = exponent >> 1, second = exponent - first;
  const auto power = [](integers e) {
    return P(reinterpret_cast<typename P::native>((e + constants::bias) << constants::mantissa));
  };
  return y.mantissa * power(first) * power(second);
}

}  // namespace detail

/// e^x in lanes where that and its inverse are normal numbers.
template <class T>
GATESCAN_INLINE pack<T> near_exp(pack<T> x) {
  const auto y = detail::exp_of<T>(x);
  return detail::scaled(y.mantissa, y.shifted);
}

template <class T>
GATESCAN_INLINE pack<T> exp(pack<T> x) {
  if (!all_within(x, detail::exp_constants<T>::normal)) return detail::far_exp(x);
  return near_exp(x);
}

namespace detail {
// Bits of numbers <= 0: in the order of their magnitudes, NaN above all.
template <class T>
GATESCAN_INLINE typename pack<T>::native_integer bits_of(pack<T> x) {
  return reinterpret_cast<typename pack<T>::native_integer>(x.v);
}
}  // namespace detail
template <class T>
GATESCAN_INLINE pack<T> exp_of_minus_abs(pack<T> x) {
  const pack<T> y = minus_abs(x), least(-detail::exp_constants<T>::normal);
  if (detail::any_larger(detail::bits_of(y), detail::bits_of(least))) return detail::far_exp(y);
  return near_exp(y);
}

/// e^x - 1 = 2^n (mantissa - 1) + (2^n - 1) of x <= 0; -1 long before 2^n is subnormal.
template <class T>
GATESCAN_INLINE pack<T> expm1_of_negative(pack<T> x) {
  const auto y = detail::expm1_of<T>(larger(x, pack<T>(-detail::exp_constants<T>::normal)));
  const pack<T> power = detail::scaled(pack<T>(1), y.shifted);
  return fma(power, y.mantissa, power - pack<T>(1));
}

namespace detail {

// e^(a b) = 2^n mantissa: the product is never rounded on its own, so that n times ln 2 need not be
// taken away in parts. n <= reach.
template <class T, class R>
GATESCAN_INLINE exp_parts<R> exp_of_product_of(R log2e_a, R b) {
  using constants = exp_constants<T>;
  const R magic(constants::round);
  const R shifted = fma(log2e_a, b, magic), n = shifted - magic, f = fma(log2e_a, b, -n);
  R p(constants::binary[constants::binary_degree - 1]);
#pragma GCC unroll 16
  for (int k = constants::binary_degree - 2; k >= 0; --k) p = fma(p, f, R(constants::binary[k]));
  return {fma(p, f, R(1)), shifted};
}
template <class T>
__attribute__((noinline)) pack<T> far_exp_of_product(pack<T> a, pack<T> log2e_a, pack<T> b) {
  const auto y = exp_of_product_of<T>(log2e_a, b);
  const pack<T> n = y.shifted - pack<T>(exp_constants<T>::round);
  return abs(n).v <= pack<T>(exp_constants<T>::reach).v ? scaled(y.mantissa, y.shifted).v
                                                        : far_exp(a * b).v;
}
}  // namespace detail

/// e^(a b) in lanes where |a b| log2(e) <= exp_reach.
template <class T>
inline constexpr T exp_reach = detail::exp_constants<T>::reach;
template <class T>
GATESCAN_INLINE pack<T> near_exp_of_product(pack<T> log2e_a, pack<T> b) {
  const auto y = detail::exp_of_product_of<T>(log2e_a, b);
  return detail::scaled(y.mantissa, y.shifted);
}
template <class T>
GATESCAN_INLINE pack<T> exp_of_product(pack<T> a, pack<T> log2e_a, pack<T> b) {
  const auto y = detail::exp_of_product_of<T>(log2e_a, b);
  if (!all_within(y.shifted - pack<T>(detail::exp_constants<T>::round), exp_reach<T>))
    return detail::far_exp_of_product(a, log2e_a, b);
  return detail::scaled(y.mantissa, y.shifted);
}

namespace detail {
template <class T, class F>
GATESCAN_INLINE pack<T> lane_by_lane(pack<T> x, F f) {
  alignas(register_bytes) T a[lanes<T>];
  store(a, x);
  for (int i = 0; i < lanes<T>; ++i) a[i] = f(a[i]);
  return load(a);
}
}  // namespace detail

/// log(1 + x): 1 + x = 2^k m, m in [sqrt(1/2), sqrt(2)), log m = 2 atanh(s), s = (m - 1) / (m + 1).
/// What rounding 1 + x lost comes back as its derivative.
template <class T>
GATESCAN_INLINE pack<T> log1p(pack<T> x) {
  using constants = detail::exp_constants<T>;
  using P = pack<T>;
  using integers = typename P::native_integer;
  constexpr int terms = sizeof(T) == 4 ? 6 : 12;
  const P u = x + P(1);
  const P root_half{T(0.70710678118654752440)};
  using unsigned_bits = typename P::native_bits;  // of numbers below -1 the difference overflows
  const unsigned_bits bits = reinterpret_cast<unsigned_bits>(u.v);
  const integers k =
      reinterpret_cast<integers>(bits - reinterpret_cast<unsigned_bits>(root_half.v)) >>
      constants::mantissa;
  const P m{reinterpret_cast<typename P::native>(
      bits - (reinterpret_cast<unsigned_bits>(k) << constants::mantissa))};
  const P exponent(__builtin_convertvector(k, typename P::native));
  const P f(k == 0 ? x.v : (m - P(1)).v);
  const P lost(k == 0 ? typename P::native{} : ((x - (u - P(1))) / u).v);
  const P s = f / (P(2) + f), z = s * s, half_square = P(T(0.5)) * f * f;
  P p(T(2.0 / (2 * terms + 1)));
#pragma GCC unroll 16
  for (int i = terms - 1; i >= 1; --i) p = fma(p, z, P(T(2.0 / (2 * i + 1))));
  const P tail = fma(s, fma(p, z, half_square), fma(exponent, P(constants::ln2_low), lost));
  const P y = fma(exponent, P(constants::ln2_high), f - (half_square - tail));
  const P infinity(std::numeric_limits<T>::infinity());
  return x.v > T(-1) ? (x.v == infinity.v ? x.v : y.v)
                     : (x.v == T(-1) ? (-infinity).v : (x - x).v / (x - x).v);
}

namespace detail {
// x + x^2 (c_0 + c_1 x + ...): 0.9 ulp over [0, 1], and right at 1
inline constexpr float log1p_of_fraction[] = {-0x1.ffffd4p-2f, 0x1.554df6p-2f,  -0x1.ff271ep-3f,
                                              0x1.935dc2p-3f,  -0x1.3a7d9cp-3f, 0x1.b583a8p-4f,
                                              -0x1.d875bep-5f, 0x1.4b1b34p-6f,  -0x1.b3160ap-9f};
template <class R>
GATESCAN_INLINE R log1p_of_fraction_of(R x) {
  R p(log1p_of_fraction[8]);
#pragma GCC unroll 16
  for (int k = 7; k >= 0; --k) p = fma(p, x, R(log1p_of_fraction[k]));
  return fma(x * x, p, x);
}
}  // namespace detail
template <class T>
GATESCAN_INLINE pack<T> log1p_of_fraction(pack<T> x) {
  if constexpr (std::is_same_v<T, float>)
    return detail::log1p_of_fraction_of(x);
  else
    return log1p(x);
}

namespace detail {

template <class T>
struct quarter_turn;  // pi / 2 in three parts
template <>
struct quarter_turn<float> {
  static constexpr float high = 0x1.921fb6p0f, middle = -0x1.777a5cp-25f, low = -0x1.ee59dap-50f;
  static constexpr float farthest = 1e4f;
  static constexpr int sine_terms = 5, cosine_terms = 6;
};
template <>
struct quarter_turn<double> {
  static constexpr double high = 0x1.921fb54442d18p0, middle = 0x1.1a62633145c07p-54,
                          low = -0x1.f1976b7ed8fbcp-110;
  static constexpr double farthest = 1e7;
  static constexpr int sine_terms = 9, cosine_terms = 10;
};

}  // namespace detail

/// cos x and sin x: x = n pi/2 + r, |r| <= pi/4, Taylor series in r. Far from 0 through the C
/// library.
template <class T>
GATESCAN_INLINE cplx<pack<T>> cis(pack<T> x) {
  using constants = detail::quarter_turn<T>;
  using P = pack<T>;
  using integers = typename P::native_integer;
  if (!all_within(x, constants::farthest))
    return {detail::lane_by_lane(x, [](T y) { return std::cos(y); }),
            detail::lane_by_lane(x, [](T y) { return std::sin(y); })};
  const P magic(detail::exp_constants<T>::round);
  const P shifted = fma(x, P(T(0.63661977236758134308)), magic), n = shifted - magic;
  const P r =
      fma(n, P(-constants::low), fma(n, P(-constants::middle), fma(n, P(-constants::high), x)));
  const P z = r * r;
  P s(T(detail::inverse_factorial(2 * constants::sine_terms + 1)));
#pragma GCC unroll 16
  for (int i = constants::sine_terms - 1; i >= 1; --i)
    s = fma(-s, z, P(T(detail::inverse_factorial(2 * i + 1))));
  s = fma(-(s * z), r, r);
  P c(T(detail::inverse_factorial(2 * constants::cosine_terms)));
#pragma GCC unroll 16
  for (int i = constants::cosine_terms - 1; i >= 1; --i)
    c = fma(-c, z, P(T(detail::inverse_factorial(2 * i))));
  c = fma(-c, z, P(1));
  const integers quadrant =
      reinterpret_cast<integers>(shifted.v) - reinterpret_cast<integers>(magic.v);
  const integers odd = (quadrant & 1) != 0;
  const P cosine(odd ? s.v : c.v), sine(odd ? c.v : s.v);
  return {P(((quadrant + 1) & 2) != 0 ? -cosine.v : cosine.v),
          P((quadrant & 2) != 0 ? -sine.v : sine.v)};
}
template <class T>
GATESCAN_INLINE pack<T> sin(pack<T> x) {
  return cis(x).im;
}
template <class T>
GATESCAN_INLINE pack<T> cos(pack<T> x) {
  return cis(x).re;
}
template <class T>
GATESCAN_INLINE pack<T> sqrt(pack<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return {_mm512_maskz_sqrt_ps(0xffff, x.v)};
  else
    return {_mm512_maskz_sqrt_pd(0xff, x.v)};
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 4)
    return {_mm256_sqrt_ps(x.v)};
  else
    return {_mm256_sqrt_pd(x.v)};
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4)
    return {_mm_sqrt_ps(x.v)};
  else
    return {_mm_sqrt_pd(x.v)};
#else
  return detail::lane_by_lane(x, [](T y) { return std::sqrt(y); });
#endif
}
template <class T>
inline pack<T> tanh(pack<T> x) {
  return detail::lane_by_lane(x, [](T y) { return std::tanh(y); });
}

}  // namespace simd

// recurrences call these by the names of core/math.hpp
using simd::abs;
using simd::cis;
using simd::conj;
using simd::cos;
using simd::exp;
using simd::exp_of_minus_abs;
using simd::exp_of_product;
using simd::expm1_of_negative;
using simd::fma;
using simd::fnma;
using simd::larger;
using simd::log1p;
using simd::log1p_of_fraction;
using simd::real_part;
using simd::rough_inverse;
using simd::select_negative;
using simd::sin;
using simd::sqrt;
using simd::tanh;
using simd::unless_zero;

}  // namespace GATESCAN_ABI
}  // namespace gatescan
