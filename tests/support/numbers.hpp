// The number types of the oracle: a plain complex over any real type, and dual numbers, which
// carry an exact directional derivative along. Neither knows anything of the library.
#pragma once

#include <cmath>

namespace support {

template <class R>
struct cplx {
  R re{};
  R im{};

  cplx() = default;
  cplx(R r) : re(r) {}  // implicit: a real number is a complex one
  cplx(R r, R i) : re(r), im(i) {}

  friend cplx operator+(const cplx& x, const cplx& y) { return {x.re + y.re, x.im + y.im}; }
  friend cplx operator-(const cplx& x, const cplx& y) { return {x.re - y.re, x.im - y.im}; }
  friend cplx operator*(const cplx& x, const cplx& y) {
    return {x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
  }
  friend bool operator==(const cplx& x, const cplx& y) { return x.re == y.re && x.im == y.im; }
  cplx& operator+=(const cplx& y) { return *this = *this + y; }
};

// v + d e with e e = 0. Zero means zero in both parts: a gate that is being differentiated at 0 is
// no hard reset in the first order. What does not vary has no derivative, next to an Inf either,
// and exp is flat at -Inf.
template <class R>
struct dual {
  R v{};
  R d{};

  dual() = default;
  dual(R value) : v(value) {}
  dual(int value) : v(R(value)) {}
  dual(R value, R derivative) : v(value), d(derivative) {}

  friend dual operator+(const dual& x, const dual& y) { return {x.v + y.v, x.d + y.d}; }
  friend dual operator-(const dual& x, const dual& y) { return {x.v - y.v, x.d - y.d}; }
  friend dual operator-(const dual& x) { return {-x.v, -x.d}; }
  friend dual operator*(const dual& x, const dual& y) {
    return {x.v * y.v, times(x.d, y.v) + times(y.d, x.v)};
  }
  friend dual operator/(const dual& x, const dual& y) {
    return {x.v / y.v, (x.d * y.v - x.v * y.d) / (y.v * y.v)};
  }
  friend bool operator==(const dual& x, const dual& y) { return x.v == y.v && x.d == y.d; }
  friend bool operator<(const dual& x, const dual& y) { return x.v < y.v; }
  dual& operator+=(const dual& y) { return *this = *this + y; }
  static R times(R derivative, R factor) { return derivative == R() ? R() : derivative * factor; }
};

template <class R>
dual<R> exp(const dual<R>& x) {
  return {std::exp(x.v), dual<R>::times(std::exp(x.v), x.d)};
}
template <class R>
dual<R> expm1(const dual<R>& x) {
  return {std::expm1(x.v), dual<R>::times(std::exp(x.v), x.d)};
}
template <class R>
dual<R> log1p(const dual<R>& x) {
  return {std::log1p(x.v), x.d / (R(1) + x.v)};
}
template <class R>
dual<R> sqrt(const dual<R>& x) {
  const R root = std::sqrt(x.v);
  return {root, x.d / (R(2) * root)};
}
template <class R>
dual<R> cos(const dual<R>& x) {
  return {std::cos(x.v), -std::sin(x.v) * x.d};
}
template <class R>
dual<R> sin(const dual<R>& x) {
  return {std::sin(x.v), std::cos(x.v) * x.d};
}

// real part and conjugate, for real numbers too: one loop then serves both kinds of state
template <class R>
struct number {
  using real = R;
  static R re(const R& x) { return x; }
  static R conj(const R& x) { return x; }
};
template <class R>
struct number<cplx<R>> {
  using real = R;
  static R re(const cplx<R>& x) { return x.re; }
  static cplx<R> conj(const cplx<R>& x) { return {x.re, R{} - x.im}; }
};

template <class E>
using real_of = typename number<E>::real;
template <class E>
real_of<E> re(const E& x) {
  return number<E>::re(x);
}
template <class E>
E conj(const E& x) {
  return number<E>::conj(x);
}

}  // namespace support
