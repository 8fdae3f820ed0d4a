#pragma once
// Several registers that go through the same operations side by side: constants are read once for
// all of them, and none waits for the others. What recurrences take for a register.

#include "math.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {

// Members and no array: compilers keep an array of registers in memory.
template <class T>
struct pack4 {
  static constexpr int size = 4;
  pack<T> a, b, c, d;

  pack4() = default;
  // By whole registers: gcc 12 copies a struct in memory by halves of them, and the next load of a
  // whole one waits (selective scan backward 160 ms, so 140; AVX2, one core).
  GATESCAN_INLINE pack4(const pack4& x) : a(x.a.v), b(x.b.v), c(x.c.v), d(x.d.v) {}
  GATESCAN_INLINE pack4& operator=(const pack4& x) {
    a.v = x.a.v, b.v = x.b.v, c.v = x.c.v, d.v = x.d.v;
    return *this;
  }
  GATESCAN_INLINE pack4(pack<T> first, pack<T> second, pack<T> third, pack<T> fourth)
      : a(first), b(second), c(third), d(fourth) {}
  GATESCAN_INLINE explicit pack4(pack<T> x) : a(x), b(x), c(x), d(x) {}
  template <class Number>
  requires std::is_arithmetic_v<Number> GATESCAN_INLINE explicit pack4(Number x)
      : pack4(pack<T>(x)) {}

  friend GATESCAN_INLINE pack4 operator+(pack4 x, pack4 y) {
    return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
  }
  friend GATESCAN_INLINE pack4 operator-(pack4 x, pack4 y) {
    return {x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d};
  }
  friend GATESCAN_INLINE pack4 operator*(pack4 x, pack4 y) {
    return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d};
  }
  friend GATESCAN_INLINE pack4 operator/(pack4 x, pack4 y) {
    return {x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d};
  }
  friend GATESCAN_INLINE pack4 operator-(pack4 x) { return {-x.a, -x.b, -x.c, -x.d}; }
  friend GATESCAN_INLINE pack4& operator+=(pack4& x, pack4 y) { return x = x + y; }
  friend GATESCAN_INLINE pack4& operator-=(pack4& x, pack4 y) { return x = x - y; }
  friend GATESCAN_INLINE pack4& operator*=(pack4& x, pack4 y) { return x = x * y; }
};

/// One of the registers; a register alone is its own.
template <class T>
GATESCAN_INLINE pack<T> get(const pack<T>& x, index_t) {
  return x;
}
template <class T>
GATESCAN_INLINE pack<T> get(const pack4<T>& x, index_t i) {
  return i == 0 ? x.a.v : i == 1 ? x.b.v : i == 2 ? x.c.v : x.d.v;
}
template <class R>
GATESCAN_INLINE auto get(const cplx<R>& x, index_t i) -> cplx<decltype(get(x.re, i))> {
  return {get(x.re, i), get(x.im, i)};
}
template <class T>
GATESCAN_INLINE void set(pack<T>& x, index_t, pack<T> y) {
  x = y;
}
template <class T>
GATESCAN_INLINE void set(pack4<T>& x, index_t i, pack<T> y) {
  if (i == 0) x.a = y;
  if (i == 1) x.b = y;
  if (i == 2) x.c = y;
  if (i == 3) x.d = y;
}
template <class R, class T>
GATESCAN_INLINE void set(cplx<R>& x, index_t i, cplx<pack<T>> y) {
  set(x.re, i, y.re), set(x.im, i, y.im);
}

namespace detail {
// f of the registers in each place
template <class T, class F, class... Packs>
GATESCAN_INLINE pack4<T> each(F&& f, const pack4<T>& x, const Packs&... y) {
  return {f(x.a, y.a...), f(x.b, y.b...), f(x.c, y.c...), f(x.d, y.d...)};
}
}  // namespace detail

template <class T>
GATESCAN_INLINE pack4<T> fma(pack4<T> a, pack4<T> b, pack4<T> c) {
  return detail::each([](auto x, auto y, auto z) { return fma(x, y, z); }, a, b, c);
}
template <class T>
GATESCAN_INLINE pack4<T> fnma(pack4<T> a, pack4<T> b, pack4<T> c) {
  return detail::each([](auto x, auto y, auto z) { return fnma(x, y, z); }, a, b, c);
}
template <class T>
GATESCAN_INLINE void accumulate(pack<T>& sum, pack4<T> x) {
  sum = sum + x.a + x.b + x.c + x.d;  // one by one, as registers alone are
}
template <class T>
GATESCAN_INLINE pack4<T> larger(pack4<T> a, pack4<T> b) {
  return detail::each([](auto x, auto y) { return larger(x, y); }, a, b);
}
// lane by lane the larger of |a| and |b|, NaN above all
template <class T>
GATESCAN_INLINE pack4<T> larger_magnitude(pack4<T> a, pack4<T> b) {
  return detail::each([](auto x, auto y) { return larger_magnitude(x, y); }, a, b);
}
template <class T>
GATESCAN_INLINE pack4<T> select_negative(pack4<T> x, pack4<T> if_negative, pack4<T> otherwise) {
  return detail::each([](auto a, auto b, auto c) { return select_negative(a, b, c); }, x,
                      if_negative, otherwise);
}
template <class T>
GATESCAN_INLINE pack4<T> unless_zero(pack4<T> gate, pack4<T> x) {
  return detail::each([](auto a, auto b) { return unless_zero(a, b); }, gate, x);
}
template <class T>
GATESCAN_INLINE pack4<T> rough_inverse(pack4<T> x) {
  return detail::each([](auto a) { return rough_inverse(a); }, x);
}
template <class T>
GATESCAN_INLINE pack4<T> abs(pack4<T> x) {
  return detail::each([](auto a) { return abs(a); }, x);
}
template <class T>
GATESCAN_INLINE pack4<T> real_part(pack4<T> x) {
  return x;
}
template <class T>
GATESCAN_INLINE pack4<T> conj(pack4<T> x) {
  return x;
}

template <class T>
GATESCAN_INLINE bool all_within(const pack4<T>& x, T bound) {
  const auto larger = [](auto i, auto j) { return i > j ? i : j; };
  const auto bits = [](pack<T> y) { return detail::magnitude_bits(y); };
  return !detail::any_larger(larger(larger(bits(x.a), bits(x.b)), larger(bits(x.c), bits(x.d))),
                             bits(pack<T>(bound)));
}
namespace detail {
template <class T>
GATESCAN_INLINE pack4<T> near_exp(const pack4<T>& x) {
  const auto y = exp_of<T>(x);
  return {scaled(y.mantissa.a, y.shifted.a), scaled(y.mantissa.b, y.shifted.b),
          scaled(y.mantissa.c, y.shifted.c), scaled(y.mantissa.d, y.shifted.d)};
}
template <class T>
GATESCAN_INLINE pack4<T> far_exp(const pack4<T>& x) {
  return {far_exp(x.a), far_exp(x.b), far_exp(x.c), far_exp(x.d)};
}
}  // namespace detail
template <class T>
GATESCAN_INLINE pack4<T> exp(pack4<T> x) {
  if (!all_within(x, detail::exp_constants<T>::normal)) return detail::far_exp(x);
  return detail::near_exp(x);
}
template <class T>
GATESCAN_INLINE pack4<T> exp_of_minus_abs(pack4<T> x) {
  const auto y = detail::each([](auto a) { return minus_abs(a); }, x);
  const auto larger = [](auto i, auto j) { return i > j ? i : j; };
  const auto bits = [](pack<T> a) { return detail::bits_of(a); };
  const auto of_all = larger(larger(bits(y.a), bits(y.b)), larger(bits(y.c), bits(y.d)));
  if (detail::any_larger(of_all, bits(pack<T>(-detail::exp_constants<T>::normal))))
    return detail::far_exp(y);
  return detail::near_exp(y);
}
template <class T>
GATESCAN_INLINE pack4<T> expm1_of_negative(pack4<T> x) {
  return detail::each([](auto a) { return expm1_of_negative(a); }, x);
}
template <class T>
GATESCAN_INLINE pack4<T> near_exp_of_product(pack4<T> log2e_a, pack4<T> b) {
  const auto y = detail::exp_of_product_of<T>(log2e_a, b);
  return {detail::scaled(y.mantissa.a, y.shifted.a), detail::scaled(y.mantissa.b, y.shifted.b),
          detail::scaled(y.mantissa.c, y.shifted.c), detail::scaled(y.mantissa.d, y.shifted.d)};
}
template <class T>
GATESCAN_INLINE pack4<T> exp_of_product(pack4<T> a, pack4<T> log2e_a, pack4<T> b) {
  return detail::each([](auto x, auto y, auto z) { return exp_of_product(x, y, z); }, a, log2e_a,
                      b);
}
template <class T>
GATESCAN_INLINE pack4<T> log1p_of_fraction(pack4<T> x) {
  if constexpr (std::is_same_v<T, float>)
    return detail::log1p_of_fraction_of(x);
  else
    return detail::each([](auto a) { return log1p(a); }, x);
}
template <class T>
GATESCAN_INLINE pack4<T> log1p(pack4<T> x) {
  return detail::each([](auto a) { return log1p(a); }, x);
}
template <class T>
GATESCAN_INLINE pack4<T> sin(pack4<T> x) {
  return detail::each([](auto a) { return sin(a); }, x);
}
template <class T>
GATESCAN_INLINE pack4<T> cos(pack4<T> x) {
  return detail::each([](auto a) { return cos(a); }, x);
}
template <class T>
GATESCAN_INLINE cplx<pack4<T>> cis(pack4<T> x) {
  const cplx<pack<T>> a = cis(x.a), b = cis(x.b), c = cis(x.c), d = cis(x.d);
  return {{a.re, b.re, c.re, d.re}, {a.im, b.im, c.im, d.im}};
}
template <class T>
GATESCAN_INLINE pack4<T> sqrt(pack4<T> x) {
  return detail::each([](auto a) { return sqrt(a); }, x);
}
template <class T>
GATESCAN_INLINE pack4<T> tanh(pack4<T> x) {
  return detail::each([](auto a) { return tanh(a); }, x);
}

}  // namespace simd

// as at the end of math.hpp: a using-declaration names what was declared before it
using simd::abs;
using simd::accumulate;
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
