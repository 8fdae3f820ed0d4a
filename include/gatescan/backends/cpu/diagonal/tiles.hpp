#pragma once
// Diagonal states (one gate a state entry): the numbers of a block of channels over a run of
// tokens, as the recurrence's prologue left them. Channels lie along the lanes; every channel has
// `keys` states.

#include "../../../core/workspace.hpp"
#include "../arrays.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

struct diagonal_shape {
  index_t keys = 1, width = 0;  // states a channel; channels a block, whole registers
  bool unit_keys = false;       // q = k = 1: there are no tiles for them

  index_t state_size() const { return keys * width; }  // one plane
};

/// Channels a block: enough that few rows of memory are cut, few enough that a block's states stay
/// in registers and L1.
template <class C>
index_t diagonal_width(index_t keys, index_t values) {
  const index_t lanes = simd::lanes<C>;
  index_t width = lanes;
  while (width < 64 && width * keys < 256 && width < values) width *= 2;
  return width;
}

// One or two planes of numbers.
template <class C, bool Complex>
struct planes {
  using E = element_t<C, Complex>;
  C* re = nullptr;
  C* im = nullptr;

  planes() = default;
  planes(arena& scratch, index_t count)
      : re(scratch.take<C>(count)), im(Complex ? scratch.take<C>(count) : nullptr) {}
  planes(C* first, index_t plane) : re(first), im(Complex ? first + plane : nullptr) {}

  GATESCAN_INLINE E load(index_t i) const {
    if constexpr (Complex)
      return {simd::load(re + i), simd::load(im + i)};
    else
      return simd::load(re + i);
  }
  GATESCAN_INLINE void store(index_t i, E x) const {
    if constexpr (Complex) {
      simd::store(re + i, x.re);
      simd::store(im + i, x.im);
    } else {
      simd::store(re + i, x);
    }
  }
};

template <class C, bool Complex>
struct diagonal_tiles {
  diagonal_shape n{};
  planes<C, Complex> a{}, q{}, k{};  // [token][key][width]
  planes<C, Complex> v{}, o{};       // [token][width]

  diagonal_tiles() = default;
  diagonal_tiles(arena& scratch, const diagonal_shape& shape, index_t tokens) : n(shape) {
    const index_t entries = tokens * n.state_size();
    a = {scratch, entries};
    if (!n.unit_keys) q = {scratch, entries}, k = {scratch, entries};
    v = {scratch, tokens * n.width};
    o = {scratch, tokens * n.width};
  }
  using E = element_t<C, Complex>;
  index_t at(index_t t, index_t i, index_t w) const { return (t * n.keys + i) * n.width + w; }
  GATESCAN_INLINE E input(index_t t, index_t i, index_t w) const {
    return n.unit_keys ? v.load(t * n.width + w) : k.load(at(t, i, w)) * v.load(t * n.width + w);
  }
  GATESCAN_INLINE E read(index_t t, index_t i, index_t w, E h) const {
    return n.unit_keys ? h : q.load(at(t, i, w)) * h;
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

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
