#pragma once
// Elementary functions on registers. exp is ours (at most 1 ulp, exactly 1 at 0 and 0 at -inf,
// subnormals right); the others go lane by lane through the C library.

#include <cmath>

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
  static constexpr float lowest = -105.0f, highest = 90.0f;
  static constexpr int mantissa = 23, bias = 127, degree = 7;
};
template <>
struct exp_constants<double> {
  static constexpr double round = 0x1.8p52, log2e = 0x1.71547652b82fep0;
  static constexpr double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double lowest = -746.0, highest = 711.0;
  static constexpr int mantissa = 52, bias = 1023, degree = 13;
};

constexpr double inverse_factorial(int n) {
  double f = 1;
  for (int i = 2; i <= n; ++i) f *= i;
  return 1 / f;
}

}  // namespace detail

/// e^x: x = n ln 2 + r, |r| <= ln 2 / 2, then 1 + r + r^2 (1/2! + r/3! + ...) scaled by 2^n in two
/// steps, so that subnormal results round once and nothing overflows on the way.
template <class T>
GATESCAN_INLINE pack<T> exp(pack<T> x) {
  using constants = detail::exp_constants<T>;
  using P = pack<T>;
  x.v = x.v < constants::lowest ? P(constants::lowest).v : x.v;
  x.v = x.v > constants::highest ? P(constants::highest).v : x.v;
  const P magic(constants::round);
  const P shifted = fma(x, P(constants::log2e), magic), n = shifted - magic;
  const P r = fma(n, P(-constants::ln2_low), fma(n, P(-constants::ln2_high), x));
  P p(detail::inverse_factorial(constants::degree));
#pragma GCC unroll 16
  for (int i = constants::degree - 1; i >= 2; --i) p = fma(p, r, P(detail::inverse_factorial(i)));
  p = fma(p, r * r, r) + P(1);

  using integers = typename P::native_integer;
  integers exponent;
  const integers with_n = reinterpret_cast<integers>(shifted.v),
                 offset = reinterpret_cast<integers>(magic.v);
  exponent = with_n - offset;
  const integers first = exponent >> 1, second = exponent - first;
  const auto power = [](integers e) {
    return P(reinterpret_cast<typename P::native>((e + constants::bias) << constants::mantissa));
  };
  return p * power(first) * power(second);
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

template <class T>
inline pack<T> log1p(pack<T> x) {
  return detail::lane_by_lane(x, [](T y) { return std::log1p(y); });
}
template <class T>
inline pack<T> sin(pack<T> x) {
  return detail::lane_by_lane(x, [](T y) { return std::sin(y); });
}
template <class T>
inline pack<T> cos(pack<T> x) {
  return detail::lane_by_lane(x, [](T y) { return std::cos(y); });
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
