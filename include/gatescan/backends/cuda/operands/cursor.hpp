#pragma once
// The place at which a thread reads a recurrence's operands and adds its gradients: one token, one
// key, one value of one head.

#include "../../../core/complex.hpp"
#include "../../../core/operand.hpp"
#include "../../../core/scalar.hpp"
#include "../numbers.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

// A thread's own sum of an operand's gradient.
template <class C>
struct accumulator {
  mutable C re = 0, im = 0;
};

/// An operand's number at an offset, and back.
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

template <class C, bool IsComplex>
struct cursor {
  using element_t = number_t<C, IsComplex>;
  index_t batch, time, head, key = 0, value = 0;

  template <class S>
  GATESCAN_HD index_t offset(const operand<S>& x) const {
    return x.offset(batch, time, head) + key * x.key + value * x.value;
  }
  template <class S>
  GATESCAN_HD C operator()(const operand<S>& x) const {
    return convert<C>(x.re[offset(x)]);
  }
  template <class S>
  GATESCAN_HD element_t element(const operand<S>& x) const {
    if constexpr (IsComplex) {
      const index_t o = offset(x);
      return {convert<C>(x.re[o]), x.im != nullptr ? convert<C>(x.im[o]) : C(0)};
    } else {
      return convert<C>(x.re[offset(x)]);
    }
  }
  GATESCAN_HD void add(const accumulator<C>& d, C g) const { d.re += g; }
  GATESCAN_HD void add(const accumulator<C>& d, cplx<C> g) const {
    d.re += g.re;
    d.im += g.im;
  }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
