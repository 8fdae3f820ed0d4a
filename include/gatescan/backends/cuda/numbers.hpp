#pragma once
// Numbers that may be complex: tests, conversions, and arrays that hold them as real ones.

#include <cstddef>
#include <type_traits>
#include <utility>

#include "../../core/compensated.hpp"
#include "../../core/complex.hpp"
#include "../../core/scalar.hpp"
#include "../../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

template <class C, bool IsComplex>
using number_t = std::conditional_t<IsComplex, cplx<C>, C>;

/// An array that a thread keeps in registers.
template <class X, int N>
using registers = X[static_cast<std::size_t>(N)];

// ---- tests

template <class C>
GATESCAN_HD bool is_zero(C x) {
  return x == C(0);
}
template <class C>
GATESCAN_HD bool is_zero(cplx<C> x) {
  return x.re == C(0) && x.im == C(0);
}
/// 0 where x is finite, NaN elsewhere.
template <class C>
GATESCAN_HD C zero_if_finite(C x) {
  return x * C(0);
}
template <class C>
GATESCAN_HD C zero_if_finite(cplx<C> x) {
  return x.re * C(0) + x.im * C(0);
}
template <class E>
GATESCAN_HD bool is_finite(E x) {
  return zero_if_finite(x) == 0;
}

// ---- products

/// gate * x; exactly 0 where the gate is, whatever x is.
template <class E>
GATESCAN_HD E decayed(E gate, E x) {
  return is_zero(gate) ? E{} : gate * x;
}
/// a b, where no compiler chooses which products to fuse: the same bits wherever it is inlined.
template <class E>
GATESCAN_HD E fixed_product(E a, E b) {
  if constexpr (requires { a.im; })
    return fma(a, b, E{0, 0});
  else
    return a * b;
}

/// A double, and what it lacks of the number that is meant: sums of millions of terms lose nothing.
struct two_doubles {
  double high, low;

  GATESCAN_HD explicit operator double() const { return high; }
  GATESCAN_HD static two_doubles of(const with_error<double>& x) { return {x.value, x.error}; }
  GATESCAN_HD friend two_doubles operator*(two_doubles a, two_doubles b) {
    const auto p = exact_product(a.high, b.high);
    return of(exact_sum(p.value, fma(a.high, b.low, fma(a.low, b.high, p.error))));
  }
  /// a b + c
  GATESCAN_HD friend two_doubles fma(two_doubles a, two_doubles b, two_doubles c) {
    const auto p = exact_product(a.high, b.high), s = exact_sum(p.value, c.high);
    const double rest = fma(a.high, b.low, fma(a.low, b.high, p.error));
    return of(exact_sum(s.value, rest + (s.error + c.low)));
  }
};
/// What carries a state over many chunks of tokens: more than the state's own digits.
template <class C, bool IsComplex>
using carrier = std::conditional_t<std::is_same_v<C, double> && !IsComplex, two_doubles,
                                   number_t<double, IsComplex>>;

// ---- conversions

/// From one kind of number to another; the imaginary part of a real one is 0.
template <class To, class From>
GATESCAN_HD To number_cast(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<To, two_doubles>) {
    return {static_cast<double>(x), 0};
  } else if constexpr (requires(To y) { y.im; }) {
    using C = decltype(To{}.re);
    if constexpr (requires { x.im; })
      return {static_cast<C>(x.re), static_cast<C>(x.im)};
    else
      return {static_cast<C>(x), C(0)};
  } else {
    return static_cast<To>(x);
  }
}

// ---- arrays

/// An array of numbers as rows of real ones: `plane` further on lie the imaginary parts.
template <class E, class Array>
GATESCAN_HD E number_at(const Array& x, index_t at, index_t plane) {
  if constexpr (requires(E e) { e.re; }) {
    using C = decltype(E{}.re);
    const C re = x[at], im = x[at + plane];
    return {re, im};
  } else {
    return x[at];
  }
}
template <class E, class Array>
GATESCAN_HD void put_number(const Array& x, index_t at, index_t plane, E number) {
  if constexpr (requires { number.re; }) {
    x[at] = number.re;
    x[at + plane] = number.im;
  } else {
    x[at] = number;
  }
}

// ---- loops

template <class F, std::size_t... N>
GATESCAN_HD void for_each_of(std::index_sequence<N...>, F&& f) {
  (f(static_cast<int>(N)), ...);
}
/// f(0) ... f(Count - 1), each on its own: what a thread keeps for every key, or for every token of
/// a chunk, stays in registers.
template <int Count, class F>
GATESCAN_HD void unrolled(F&& f) {
  for_each_of(std::make_index_sequence<static_cast<std::size_t>(Count)>{}, f);
}

/// Count numbers by Threads threads, from load(n) to store(n, number): eight loads in a row before
/// their stores, so that a thread waits once for eight. load is asked for every n below Count.
template <int Count, int Threads, class Load, class Store>
GATESCAN_HD void stage(int thread, const Load& load, const Store& store) {
  constexpr int together = Count >= 8 * Threads ? 8 : (Count + Threads - 1) / Threads;
  constexpr bool whole = Count % (together * Threads) == 0;
  using number = decltype(load(0));
  for (int first = thread; first < Count; first += together * Threads) {
    registers<number, together> x;
    unrolled<together>([&](int i) {
      const int n = first + i * Threads;
      x[i] = load(whole || n < Count ? n : Count - 1);
    });
    unrolled<together>([&](int i) {
      const int n = first + i * Threads;
      if (whole || n < Count) store(n, x[i]);
    });
  }
}

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
