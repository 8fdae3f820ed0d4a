// From one scalar to another, for numbers, tensors and the operand structures of the oracle.
#pragma once

#include <cmath>
#include <type_traits>

#include "cases/all.hpp"

namespace support {

template <class To, class From>
struct cast {
  static To of(const From& x) { return static_cast<To>(x); }
};
template <class To, class From>
struct cast<cplx<To>, cplx<From>> {
  static cplx<To> of(const cplx<From>& x) {
    return {cast<To, From>::of(x.re), cast<To, From>::of(x.im)};
  }
};

// the oracle of the same recurrence in another scalar
template <class To, class O>
struct rebind;
template <class To, template <class> class O>
struct rebind<To, O<double>> {
  using type = O<To>;
};
template <class To, template <class> class O>
struct rebind<To, O<cplx<double>>> {
  using type = O<cplx<To>>;
};

template <class To, class From>
void assign(tensor<To>& to, const tensor<From>& from) {
  to = from.map([](const From& x) -> To { return cast<To, From>::of(x); });
}

template <class ToOracle, class Inputs>
typename ToOracle::inputs convert_inputs(const Inputs& from) {
  typename ToOracle::inputs to;
  ToOracle::operands([](const char*, auto& x, auto& y) { assign(x, y); }, to, from);
  to.sequence_offsets = from.sequence_offsets;
  if constexpr (requires { to.held; }) to.held = from.held;
  const auto copy = [](const char*, auto& x, auto& y) { x = y; };
  if constexpr (requires { ToOracle::options(copy, to, from); }) ToOracle::options(copy, to, from);
  return to;
}

template <class ToOracle, class Outputs>
typename ToOracle::outputs convert_outputs(const Outputs& from) {
  typename ToOracle::outputs to;
  ToOracle::results([](const char*, auto& x, auto& y) { assign(x, y); }, to, from);
  return to;
}

// The same problem on absolute values: its results bound the sum of the absolute values of all
// terms that make a result, which is what rounding errors are measured against.
inline double magnitude(double x) { return std::fabs(x); }
inline cplx<double> magnitude(const cplx<double>& x) { return std::hypot(x.re, x.im); }
template <class T>
tensor<T> magnitude(const tensor<T>& x) {
  return x.map([](const T& e) -> T { return magnitude(e); });
}

}  // namespace support
