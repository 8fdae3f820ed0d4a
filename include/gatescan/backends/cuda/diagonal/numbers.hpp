#pragma once
// Numbers of a diagonal state, real or complex: selects and conversions that one thread needs.

#include <cstddef>
#include <type_traits>

#include "../../../core/gated_product.hpp"
#include "../place.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

template <class C, bool IsComplex>
using number = typename element_type<C, IsComplex>::type;

template <class X, int N>
using list = X[static_cast<std::size_t>(N)];

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

/// A double, and what it lacks of the number that is meant: sums of millions of terms lose nothing
/// (Dekker, Numer. Math. 18, 1971; Knuth, TAOCP 4.2.2).
struct two_doubles {
  double high, low;

  GATESCAN_HD explicit operator double() const { return high; }
  GATESCAN_HD static two_doubles sum(double a, double b) {
    const double s = a + b, b_part = s - a;
    return {s, (a - (s - b_part)) + (b - b_part)};
  }
  GATESCAN_HD static two_doubles product(double a, double b) {
    const double p = a * b;
    return {p, fma(a, b, -p)};
  }
  GATESCAN_HD friend two_doubles operator*(two_doubles a, two_doubles b) {
    const two_doubles p = product(a.high, b.high);
    return sum(p.high, fma(a.high, b.low, fma(a.low, b.high, p.low)));
  }
  /// a b + c
  GATESCAN_HD friend two_doubles fma(two_doubles a, two_doubles b, two_doubles c) {
    const two_doubles p = product(a.high, b.high), s = sum(p.high, c.high);
    const double rest = fma(a.high, b.low, fma(a.low, b.high, p.low));
    return sum(s.high, rest + (s.low + c.low));
  }
};
/// What carries a state over many runs of tokens: more than the state's own digits.
template <class C, bool IsComplex>
using carrier = std::conditional_t<std::is_same_v<C, double> && !IsComplex, two_doubles,
                                   number<double, IsComplex>>;

template <class E>
struct make;
template <>
struct make<float> {
  template <class C>
  GATESCAN_HD static float from(C x) {
    return static_cast<float>(x);
  }
};
template <>
struct make<double> {
  template <class C>
  GATESCAN_HD static double from(C x) {
    return static_cast<double>(x);
  }
};
template <>
struct make<two_doubles> {
  GATESCAN_HD static two_doubles from(double x) { return {x, 0}; }
};
template <class To>
struct make<cplx<To>> {
  template <class C>
  GATESCAN_HD static cplx<To> from(C x) {
    return {static_cast<To>(x), To(0)};
  }
  template <class C>
  GATESCAN_HD static cplx<To> from(cplx<C> x) {
    return {static_cast<To>(x.re), static_cast<To>(x.im)};
  }
};

/// Element (row, key, channel) of a table in scratch; numbers of two parts in two planes.
/// Neighbouring threads work on neighbouring channels.
template <class E>
struct table {
  static constexpr bool in_two = !std::is_floating_point_v<E>;
  using part =
      std::conditional_t<std::is_same_v<E, float> || std::is_same_v<E, cplx<float>>, float, double>;
  part* first = nullptr;
  index_t rows = 0, keys = 0, channels = 0;

  template <class Arena>
  void take(Arena& scratch, index_t row_count, index_t key_count, index_t channel_count) {
    rows = row_count, keys = key_count, channels = channel_count;
    first = scratch.template take<part>(rows * keys * channels * (in_two ? 2 : 1));
  }
  GATESCAN_HD index_t at(index_t row, index_t key, index_t channel) const {
    return (row * keys + key) * channels + channel;
  }
  GATESCAN_HD E load(index_t row, index_t key, index_t channel) const {
    const index_t i = at(row, key, channel);
    if constexpr (in_two)
      return {first[i], first[i + rows * keys * channels]};
    else
      return first[i];
  }
  GATESCAN_HD void store(index_t row, index_t key, index_t channel, E x) const {
    const index_t i = at(row, key, channel), second = i + rows * keys * channels;
    if constexpr (requires { x.im; })
      first[i] = x.re, first[second] = x.im;
    else if constexpr (requires { x.low; })
      first[i] = x.high, first[second] = x.low;
    else
      first[i] = x;
  }
};

/// a b, where no compiler chooses which products to fuse: the same bits wherever it is inlined.
template <class E>
GATESCAN_HD E fixed_product(E a, E b) {
  if constexpr (requires { a.im; })
    return fma(a, b, E{0, 0});
  else
    return a * b;
}

// An operand's number at an offset, and back.
template <class E, class S>
GATESCAN_HD E load_number(const operand<S>& x, index_t at) {
  if constexpr (requires { E{}.im; }) {
    using C = decltype(E{}.im);
    return {convert<C>(x.re[at]), x.im != nullptr ? convert<C>(x.im[at]) : C(0)};
  } else {
    return convert<E>(x.re[at]);
  }
}
template <class E, class S>
GATESCAN_HD void store_number(const operand<S>& to, index_t at, E x) {
  if constexpr (requires { x.im; }) {
    to.re[at] = convert<S>(x.re);
    if (to.im != nullptr) to.im[at] = convert<S>(x.im);
  } else {
    to.re[at] = convert<S>(x);
  }
}

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
