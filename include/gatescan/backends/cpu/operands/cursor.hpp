#pragma once
// The place at which a recurrence reads its operands and adds its gradients: one token of one head,
// and a register of neighbouring keys or values.

#include "../../../core/operand.hpp"
#include "../simd/arrays.hpp"
#include "../simd/conversions.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// How a gradient gets into its tile. Where nothing else is added to its place it is set, or
// streamed past the caches: then the tile need not be cleared, nor read.
enum class writing { add, set, stream };

// Gradients of one operand while a few tokens are worked on. Everything adds here; flushing into
// the caller's memory is gradients.hpp's business.
template <class C>
struct gradient_tile {
  C* re = nullptr;
  C* im = nullptr;
  index_t time = 0, key = 0, value = 0;  // strides
  bool given = false;
  writing how = writing::add;

  // a register at p, which lies in the tile; for all ways but add. -0 becomes 0, as if it were
  // added.
  GATESCAN_INLINE void put(C* p, simd::pack<C> g) const {
    g = g + simd::pack<C>(0);
    if (how == writing::stream)
      simd::stream(p, g);
    else
      simd::store(p, g);
  }
  // whether a real gradient leaves an imaginary part to be written
  GATESCAN_INLINE bool clears_imaginary() const { return how != writing::add && im != nullptr; }
};

enum class along { keys, values };

template <class C, bool IsComplex, along Lanes>
struct cursor {
  using register_type = simd::pack<C>;
  using element_type = element_t<C, IsComplex>;
  static constexpr index_t tokens = 1, registers = 1;             // cursor4 has four
  static constexpr index_t index(index_t, index_t) { return 0; }  // of a token's register

  index_t t;           // the token
  index_t key, value;  // the first of each; operands begin at the agent's head and first value
  int count;           // SIMD lanes in use
  index_t tile_t = 0;  // the token inside the gradient tile

  template <class S>
  GATESCAN_INLINE register_type operator()(const operand<S>& x) const {
    return read(x, x.re);
  }
  template <class S>
  GATESCAN_INLINE element_type element(const operand<S>& x) const {
    if constexpr (IsComplex) {
      if (count == simd::lanes<C> && is_interleaved(x, Lanes == along::keys ? x.key : x.value))
        return simd::load_interleaved<C>(x.re + offset(x));
      return {read(x, x.re), x.im != nullptr ? read(x, x.im) : register_type(0)};
    } else {
      return read(x, x.re);
    }
  }
  GATESCAN_INLINE void add(const gradient_tile<C>& d, register_type g) const {
    if (!d.given) return;
    add_plane(d, d.re, g);
    if (d.clears_imaginary()) add_plane(d, d.im, register_type(0));
  }
  GATESCAN_INLINE void add(const gradient_tile<C>& d, cplx<register_type> g) const {
    if (!d.given) return;
    add_plane(d, d.re, g.re);
    if (d.im != nullptr) add_plane(d, d.im, g.im);
  }

  template <class S>
  GATESCAN_INLINE index_t offset(const operand<S>& x) const {
    return t * x.time + key * x.key + value * x.value;
  }
  GATESCAN_INLINE index_t offset_in(const gradient_tile<C>& d) const {
    return tile_t * d.time + key * d.key + value * d.value;
  }
  template <class S, class P>
  GATESCAN_INLINE register_type read(const operand<S>& x, P* plane) const {
    return simd::load<C>(plane + offset(x), Lanes == along::keys ? x.key : x.value, count);
  }
  GATESCAN_INLINE void add_plane(const gradient_tile<C>& d, C* plane, register_type g) const {
    C* p = plane + offset_in(d);
    if (d.how != writing::add) return d.put(p, g);
    const bool has_axis = (Lanes == along::keys ? d.key : d.value) != 0;
    const index_t other = Lanes == along::keys ? d.value : d.key;
    if (!has_axis) g = simd::first_lanes(g, count, register_type(0));
    // all lanes have read one number: neighbours along the other axis are not theirs
    if (!has_axis && other == 1) {
      *p += simd::sum(g);
      return;
    }
    // tiles are padded to whole registers; without an axis along the lanes an element is a register
    simd::store(p, simd::load(p) + g);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
