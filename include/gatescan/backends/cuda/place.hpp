#pragma once
// The place at which a thread reads a recurrence's operands and adds its gradients: one token, one
// key, one value of one head.

#include "../../core/complex.hpp"
#include "../../core/operand.hpp"
#include "../../core/scalar.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// A thread's own sum of an operand's gradient.
template <class C>
struct accumulator {
  mutable C re = 0, im = 0;
};

template <class C, bool IsComplex>
struct element_type {
  using type = C;
};
template <class C>
struct element_type<C, true> {
  using type = cplx<C>;
};

template <class C, bool IsComplex>
struct place {
  using element_t = typename element_type<C, IsComplex>::type;
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

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
