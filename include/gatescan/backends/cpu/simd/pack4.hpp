#pragma once
// Several registers that go through the same operations side by side: constants are read once for
// all of them, and none waits for the others. What recurrences take for a register.

#include "math.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {

// Members and no array: compilers keep an array of registers in memory.
template <class T>
struct packs {
  static constexpr int size = 4;
  pack<T> a, b, c, d;

  packs() = default;
  GATESCAN_INLINE packs(pack<T> first, pack<T> second, pack<T> third, pack<T> fourth)
      : a(first), b(second), c(third), d(fourth) {}
  GATESCAN_INLINE explicit packs(pack<T> x) : a(x), b(x), c(x), d(x) {}
  template <class Number>
  requires std::is_arithmetic_v<Number> GATESCAN_INLINE explicit packs(Number x)
      : packs(pack<T>(x)) {}

  friend GATESCAN_INLINE packs operator+(packs x, packs y) {
    return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
  }
  friend GATESCAN_INLINE packs operator-(packs x, packs y) {
    return {x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d};
  }
  friend GATESCAN_INLINE packs operator*(packs x, packs y) {
    return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d};
  }
  friend GATESCAN_INLINE packs operator/(packs x, packs y) {
    return {x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d};
  }
  friend GATESCAN_INLINE packs operator-(packs x) { return {-x.a, -x.b, -x.c, -x.d}; }
  friend GATESCAN_INLINE packs& operator+=(packs& x, packs y) { return x = x + y; }
  friend GATESCAN_INLINE packs& operator-=(packs& x, packs y) { return x = x - y; }
  friend GATESCAN_INLINE packs& operator*=(packs& x, packs y) { return x = x * y; }
};

/// One of the registers.
template <class T>
GATESCAN_INLINE pack<T> nth(const packs<T>& x, int i) {
  return i == 0 ? x.a.v : i == 1 ? x.b.v : i == 2 ? x.c.v : x.d.v;
}
template <class T>
GATESCAN_INLINE cplx<pack<T>> nth(const cplx<packs<T>>& x, int i) {
  return {nth(x.re, i), nth(x.im, i)};
}
template <class T>
GATESCAN_INLINE void set_nth(packs<T>& x, int i, pack<T> y) {
  if (i == 0) x.a = y;
  if (i == 1) x.b = y;
  if (i == 2) x.c = y;
  if (i == 3) x.d = y;
}

/// To memory, whole registers at a time: gcc 12 assigns a struct by halves of registers, and the
/// next load of a whole one waits.
template <class T>
GATESCAN_INLINE void store(packs<T>* to, const packs<T>& x) {
  to->a.v = x.a.v, to->b.v = x.b.v, to->c.v = x.c.v, to->d.v = x.d.v;
}

namespace detail {
// f of the registers in each place
template <class T, class F, class... Packs>
GATESCAN_INLINE packs<T> each(F&& f, const packs<T>& x, const Packs&... y) {
  return {f(x.a, y.a...), f(x.b, y.b...), f(x.c, y.c...), f(x.d, y.d...)};
}
}  // namespace detail

template <class T>
GATESCAN_INLINE packs<T> fma(packs<T> a, packs<T> b, packs<T> c) {
  return detail::each([](auto x, auto y, auto z) { return fma(x, y, z); }, a, b, c);
}
template <class T>
GATESCAN_INLINE packs<T> larger(packs<T> a, packs<T> b) {
  return detail::each([](auto x, auto y) { return larger(x, y); }, a, b);
}
// lane by lane the larger of |a| and |b|, NaN above all
template <class T>
GATESCAN_INLINE packs<T> larger_magnitude(packs<T> a, packs<T> b) {
  return detail::each([](auto x, auto y) { return larger_magnitude(x, y); }, a, b);
}
template <class T>
GATESCAN_INLINE packs<T> select_negative(packs<T> x, packs<T> if_negative, packs<T> otherwise) {
  return detail::each([](auto a, auto b, auto c) { return select_negative(a, b, c); }, x,
                      if_negative, otherwise);
}
template <class T>
GATESCAN_INLINE packs<T> unless_zero(packs<T> gate, packs<T> x) {
  return detail::each([](auto a, auto b) { return unless_zero(a, b); }, gate, x);
}
template <class T>
GATESCAN_INLINE packs<T> abs(packs<T> x) {
  return detail::each([](auto a) { return abs(a); }, x);
}
template <class T>
GATESCAN_INLINE packs<T> real_part(packs<T> x) {
  return x;
}
template <class T>
GATESCAN_INLINE packs<T> conj(packs<T> x) {
  return x;
}

template <class T>
GATESCAN_INLINE bool all_within(const packs<T>& x, T bound) {
  const auto larger = [](auto i, auto j) { return i > j ? i : j; };
  const auto bits = [](pack<T> y) { return detail::magnitude_bits(y); };
  return !detail::any_lane(larger(larger(bits(x.a), bits(x.b)), larger(bits(x.c), bits(x.d))) >
                           bits(pack<T>(bound)));
}
template <class T>
GATESCAN_INLINE packs<T> exp(packs<T> x) {
  if (!all_within(x, detail::exp_constants<T>::normal))
    return {detail::far_exp(x.a), detail::far_exp(x.b), detail::far_exp(x.c), detail::far_exp(x.d)};
  const auto y = detail::exp_of<T>(x);
  return {detail::scaled(y.mantissa.a, y.shifted.a), detail::scaled(y.mantissa.b, y.shifted.b),
          detail::scaled(y.mantissa.c, y.shifted.c), detail::scaled(y.mantissa.d, y.shifted.d)};
}
template <class T>
GATESCAN_INLINE packs<T> near_exp_of_product(packs<T> log2e_a, packs<T> b) {
  const auto y = detail::exp_of_product_of<T>(log2e_a, b);
  return {detail::scaled(y.mantissa.a, y.shifted.a), detail::scaled(y.mantissa.b, y.shifted.b),
          detail::scaled(y.mantissa.c, y.shifted.c), detail::scaled(y.mantissa.d, y.shifted.d)};
}
template <class T>
GATESCAN_INLINE packs<T> exp_of_product(packs<T> a, packs<T> log2e_a, packs<T> b) {
  return detail::each([](auto x, auto y, auto z) { return exp_of_product(x, y, z); }, a, log2e_a,
                      b);
}
template <class T>
GATESCAN_INLINE packs<T> log1p_of_fraction(packs<T> x) {
  if constexpr (std::is_same_v<T, float>)
    return detail::log1p_of_fraction_of(x);
  else
    return detail::each([](auto a) { return log1p(a); }, x);
}
template <class T>
GATESCAN_INLINE packs<T> log1p(packs<T> x) {
  return detail::each([](auto a) { return log1p(a); }, x);
}
template <class T>
GATESCAN_INLINE packs<T> sin(packs<T> x) {
  return detail::each([](auto a) { return sin(a); }, x);
}
template <class T>
GATESCAN_INLINE packs<T> cos(packs<T> x) {
  return detail::each([](auto a) { return cos(a); }, x);
}
template <class T>
GATESCAN_INLINE cplx<packs<T>> cis(packs<T> x) {
  const cplx<pack<T>> a = cis(x.a), b = cis(x.b), c = cis(x.c), d = cis(x.d);
  return {{a.re, b.re, c.re, d.re}, {a.im, b.im, c.im, d.im}};
}
template <class T>
GATESCAN_INLINE packs<T> sqrt(packs<T> x) {
  return detail::each([](auto a) { return sqrt(a); }, x);
}
template <class T>
GATESCAN_INLINE packs<T> tanh(packs<T> x) {
  return detail::each([](auto a) { return tanh(a); }, x);
}

}  // namespace simd

// as at the end of pack_math.hpp: a using-declaration names what was declared before it
using simd::abs;
using simd::cis;
using simd::conj;
using simd::cos;
using simd::exp;
using simd::exp_of_product;
using simd::fma;
using simd::larger;
using simd::log1p;
using simd::log1p_of_fraction;
using simd::real_part;
using simd::select_negative;
using simd::sin;
using simd::sqrt;
using simd::tanh;
using simd::unless_zero;

}  // namespace GATESCAN_ABI
}  // namespace gatescan
