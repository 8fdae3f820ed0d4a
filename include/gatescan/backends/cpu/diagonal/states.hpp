#pragma once
// Two forms of a register of states that goes through a chunk of tokens: stepped, as the recurrence
// stands, or decayed, the state that came in beside a local sum.

#include "../../../core/compensated.hpp"
#include "../simd/arrays.hpp"
#include "../simd/selects.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// h_t = a_t h_{t-1} + k_t v_t as it stands; a gate of exactly 0 selects the new input.
template <bool IsComplex, class C>
struct stepped_state {
  using E = element_t<C, IsComplex>;
  E h;

  stepped_state() = default;
  GATESCAN_INLINE stepped_state(E in, E) : h(in) {}
  GATESCAN_INLINE E next(E a, E x) {
    h = reset_to(a, x, fma(a, h, x));
    return h;
  }
  /// The same where the gate is not 0.
  GATESCAN_INLINE E next_kept(E a, E x) { return h = fma(a, h, x); }
  GATESCAN_INLINE with_error<E> end() const { return {h, constant<IsComplex>(C(0))}; }
};

/// h_t = (product of gates since the chunk began) h_in + local_t, local_t from 0. Between chunks a
/// real state has a low part, so that long sums lose nothing: at gate 1 and L = 2^20, 2e-16 in
/// double where the recurrence as it stands is off by 4e-14.
template <bool IsComplex, class C>
struct decayed_state {
  using E = element_t<C, IsComplex>;
  E in, in_low, local = constant<IsComplex>(C(0)), product = constant<IsComplex>(C(1));

  decayed_state() = default;
  GATESCAN_INLINE decayed_state(E state, E low) : in(state), in_low(low) {}
  GATESCAN_INLINE E next(E a, E x) {
    const E zero = constant<IsComplex>(C(0));
    local = reset_to(a, x, fma(a, local, x));
    product = reset_to(a, zero, a * product);
    in =
        reset_to(a, zero, in);  // a reset cuts the chunk off from what came before, Inf and NaN too
    in_low = reset_to(a, zero, in_low);
    return fma(product, in, local);
  }
  GATESCAN_INLINE E next_kept(E a, E x) {
    local = fma(a, local, x);
    product = a * product;
    return fma(product, in, local);
  }
  GATESCAN_INLINE with_error<E> end() const {
    if constexpr (!IsComplex) {
      const auto kept = exact_product(product, in);
      const auto sum = exact_sum(kept.value, local);
      return exact_sum(sum.value, fma(product, in_low, kept.error + sum.error));
    } else {
      return {fma(product, in, local), constant<IsComplex>(C(0))};
    }
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
