#pragma once
// Numbers of a diagonal state, real or complex: selects and conversions that one thread needs.

#include <cstddef>

#include "../../../core/gated_product.hpp"
#include "../place.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

template <class C, bool Complex>
using number = typename element_type<C, Complex>::type;

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

/// Element (row, key, channel) of a table in scratch; complex numbers in two planes. Neighbouring
/// threads work on neighbouring channels.
template <class C, bool Complex>
struct table {
  C* first = nullptr;
  index_t rows = 0, keys = 0, channels = 0;

  template <class Arena>
  void take(Arena& scratch, index_t row_count, index_t key_count, index_t channel_count) {
    rows = row_count, keys = key_count, channels = channel_count;
    first = scratch.template take<C>(rows * keys * channels * (Complex ? 2 : 1));
  }
  GATESCAN_HD index_t at(index_t row, index_t key, index_t channel) const {
    return (row * keys + key) * channels + channel;
  }
  GATESCAN_HD number<C, Complex> load(index_t row, index_t key, index_t channel) const {
    const index_t i = at(row, key, channel);
    if constexpr (Complex)
      return {first[i], first[i + rows * keys * channels]};
    else
      return first[i];
  }
  GATESCAN_HD void store(index_t row, index_t key, index_t channel, number<C, Complex> x) const {
    const index_t i = at(row, key, channel);
    if constexpr (Complex) {
      first[i] = x.re;
      first[i + rows * keys * channels] = x.im;
    } else {
      first[i] = x;
    }
  }
};

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
