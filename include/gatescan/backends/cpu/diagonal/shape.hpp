#pragma once
// Diagonal states (one gate a state entry): a block of channels, which lie along the lanes. Every
// channel has `keys` states.

#include <type_traits>

#include "../../../core/operand.hpp"
#include "../../../core/workspace.hpp"
#include "../simd/arrays.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

struct diagonal_shape {
  index_t keys = 1, width = 0;  // states a channel; channels a block, whole registers
  index_t parts = 1;            // of a state: high and, between runs, low

  index_t part_size() const { return keys * width; }  // one plane
};

/// Channels a block: rows of memory are read in long pieces (selective scan with N 4 and four
/// sequences, D 1536: 512 and more channels instead of 256 take 42 to 36 ms, backward 105 to 100;
/// AVX2, one core), a block's states stay in L1, and there is work for many threads. Depends on the
/// shape only.
template <class C>
index_t diagonal_width(const sizes& n) {
  constexpr index_t least = 256, most_states = 8192, wanted_blocks = 8;
  index_t width = simd::lanes<C>;
  while (width < n.values && 2 * width * n.keys <= most_states) {
    const index_t blocks = (n.values + 2 * width - 1) / (2 * width);
    if (width >= least && n.sequences * n.heads * blocks < wanted_blocks) break;
    width *= 2;
  }
  return width;
}

// One or two planes of numbers.
template <class C, bool IsComplex>
struct planes {
  using E = element_t<C, IsComplex>;
  C* re = nullptr;
  C* im = nullptr;

  planes() = default;
  planes(C* first, index_t plane) : re(first), im(IsComplex ? first + plane : nullptr) {}

  GATESCAN_INLINE E load(index_t i) const {
    if constexpr (IsComplex)
      return {simd::load(re + i), simd::load(im + i)};
    else
      return simd::load(re + i);
  }
  GATESCAN_INLINE void store(index_t i, E x) const {
    if constexpr (IsComplex) {
      simd::store(re + i, x.re);
      simd::store(im + i, x.im);
    } else {
      simd::store(re + i, x);
    }
  }
};

/// `fresh` where the gate is exactly 0, `carried` elsewhere: a reset selects.
template <class C>
GATESCAN_INLINE simd::pack<C> reset_to(simd::pack<C> gate, simd::pack<C> fresh,
                                       simd::pack<C> carried) {
  return gate.v == 0 ? fresh.v : carried.v;
}
template <class C>
GATESCAN_INLINE cplx<simd::pack<C>> reset_to(cplx<simd::pack<C>> gate, cplx<simd::pack<C>> fresh,
                                             cplx<simd::pack<C>> carried) {
  const simd::pack<C> magnitude = simd::abs(gate.re) + simd::abs(gate.im);
  return {reset_to(magnitude, fresh.re, carried.re), reset_to(magnitude, fresh.im, carried.im)};
}

template <class C>
bool is_zero(simd::pack<C> x) {
  return simd::sum(simd::abs(x)) == C(0);
}
template <class C>
bool is_zero(cplx<simd::pack<C>> x) {
  return is_zero(x.re + x.im);
}
/// `fast` where x is finite, `exact` elsewhere; a complex number is finite when both parts are.
template <class C>
GATESCAN_INLINE simd::pack<C> unless_finite(simd::pack<C> x, simd::pack<C> fast,
                                            simd::pack<C> exact) {
  return {(x * simd::pack<C>(0)).v == 0 ? fast.v : exact.v};
}
template <class C>
GATESCAN_INLINE cplx<simd::pack<C>> unless_finite(cplx<simd::pack<C>> x, cplx<simd::pack<C>> fast,
                                                  cplx<simd::pack<C>> exact) {
  const auto both = x.re * simd::pack<C>(0) + x.im * simd::pack<C>(0);
  return {unless_finite(both, fast.re, exact.re), unless_finite(both, fast.im, exact.im)};
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
