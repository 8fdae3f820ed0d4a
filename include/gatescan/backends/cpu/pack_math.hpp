#pragma once
// Elementary functions on registers: at most 2 ulp, exact at 0 and right at the infinities and for
// subnormals. The rarer ones go lane by lane through the C library.

#include <cmath>
#include <limits>

#include "../../core/math.hpp"
#include "pack.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {
namespace detail {

template <class T>
struct exp_constants;
template <>
struct exp_constants<float> {
  static constexpr float round = 0x1.8p23f, log2e = 0x1.715476p0f;
  static constexpr float ln2_high = 0x1.63p-1f, ln2_low = -0x1.bd0106p-13f;
  static constexpr float lowest = -105.0f, highest = 90.0f, normal = 87.0f;
  static constexpr int mantissa = 23, bias = 127, degree = 7;
};
template <>
struct exp_constants<double> {
  static constexpr double round = 0x1.8p52, log2e = 0x1.71547652b82fep0;
  static constexpr double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double lowest = -746.0, highest = 711.0, normal = 708.0;
  static constexpr int mantissa = 52, bias = 1023, degree = 13;
};

constexpr double inverse_factorial(int n) {
  double f = 1;
  for (int i = 2; i <= n; ++i) f *= i;
  return 1 / f;
}

}  // namespace detail

namespace detail {

// e^x as mantissa and exponent: x = n ln 2 + r, |r| <= ln 2 / 2, then
// 1 + r + r^2 (1/2! + r/3! + ...), to be scaled by 2^n.
template <class T>
struct exp_parts {
  pack<T> mantissa;
  typename pack<T>::native_integer exponent;
};
template <class T>
GATESCAN_INLINE exp_parts<T> exp_of(pack<T> x) {
  using constants = exp_constants<T>;
  using P = pack<T>;
  using integers = typename P::native_integer;
  const P magic(constants::round);
  const P shifted = fma(x, P(constants::log2e), magic), n = shifted - magic;
  const P r = fma(n, P(-constants::ln2_low), fma(n, P(-constants::ln2_high), x));
  P p(inverse_factorial(constants::degree));
#pragma GCC unroll 16
  for (int i = constants::degree - 1; i >= 2; --i) p = fma(p, r, P(inverse_factorial(i)));
  p = fma(p, r * r, r) + P(1);
  return {p, reinterpret_cast<integers>(shifted.v) - reinterpret_cast<integers>(magic.v)};
}
// In two steps: subnormal results round once and nothing overflows on the way.
template <class T>
__attribute__((noinline)) pack<T> far_exp(pack<T> x) {
  using constants = exp_constants<T>;
  using P = pack<T>;
  using integers = typename P::native_integer;
  x.v = x.v < constants::lowest ? P(constants::lowest).v : x.v;
  x.v = x.v > constants::highest ? P(constants::highest).v : x.v;
  const exp_parts<T> y = exp_of(x);
  const integers first = y.exponent >> 1, second = y.exponent - first;
  const auto power = [](integers e) {
    return P(reinterpret_cast<typename P::native>((e + constants::bias) << constants::mantissa));
  };
  return y.mantissa * power(first) * power(second);
}

}  // namespace detail

template <class T>
GATESCAN_INLINE pack<T> exp(pack<T> x) {
  using constants = detail::exp_constants<T>;
  if (!all_within(x, constants::normal)) return detail::far_exp(x);
  const auto y = detail::exp_of(x);
  using integers = typename pack<T>::native_integer;
  return {reinterpret_cast<typename pack<T>::native>(reinterpret_cast<integers>(y.mantissa.v) +
                                                     (y.exponent << constants::mantissa))};
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
  const integers bits = reinterpret_cast<integers>(u.v);
  const integers k = (bits - reinterpret_cast<integers>(root_half.v)) >> constants::mantissa;
  const P m{reinterpret_cast<typename P::native>(bits - (k << constants::mantissa))};
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
inline pack<T> sqrt(pack<T> x) {
  return detail::lane_by_lane(x, [](T y) { return std::sqrt(y); });
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
using simd::fma;
using simd::larger;
using simd::log1p;
using simd::real_part;
using simd::select_negative;
using simd::sin;
using simd::sqrt;
using simd::tanh;
using simd::unless_zero;

}  // namespace GATESCAN_ABI
}  // namespace gatescan
