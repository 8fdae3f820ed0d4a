#pragma once
// Four registers of keys, where a recurrence reads for all of them at once: neighbours of one
// token, or the same keys of four tokens.

#include "../simd/pack4.hpp"
#include "tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex, bool OfTokens = false>
struct key_quad {
  static constexpr index_t keys = (OfTokens ? 1 : 4) * simd::lanes<C>;
  using register_type = simd::packs<C>;
  using element_type = std::conditional_t<IsComplex, cplx<register_type>, register_type>;

  cursor<C, IsComplex, along::keys> first;

  template <class S>
  static bool fits(const operand<S>& x) {
    return x.key == 0 || x.key == 1 || (IsComplex && is_interleaved(x, x.key));
  }
  template <class S>
  GATESCAN_INLINE register_type operator()(const operand<S>& x) const {
    return read(x, x.re);
  }
  template <class S>
  GATESCAN_INLINE element_type element(const operand<S>& x) const {
    if constexpr (IsComplex) {
      if (x.key == 2) return read_interleaved(x);
      return {read(x, x.re), x.im != nullptr ? read(x, x.im) : register_type(0)};
    } else {
      return read(x, x.re);
    }
  }
  GATESCAN_INLINE void add(const gradient_tile<C>& d, const register_type& g) const {
    if (!d.given) return;
    add_plane(d, d.re, g);
    if (d.clears_imaginary()) add_plane(d, d.im, register_type(0));
  }
  GATESCAN_INLINE void add(const gradient_tile<C>& d, const cplx<register_type>& g) const {
    if (!d.given) return;
    add_plane(d, d.re, g.re);
    if (d.im != nullptr) add_plane(d, d.im, g.im);
  }

 private:
  GATESCAN_INLINE void add_plane(const gradient_tile<C>& d, C* plane,
                                 const register_type& g) const {
    auto place = first;
    place.add_plane(d, plane, g.a);
    place.key += simd::lanes<C>, place.add_plane(d, plane, g.b);
    place.key += simd::lanes<C>, place.add_plane(d, plane, g.c);
    place.key += simd::lanes<C>, place.add_plane(d, plane, g.d);
  }
  // from one register to the next
  template <class S>
  static GATESCAN_INLINE index_t step(const operand<S>& x) {
    return OfTokens ? x.time : x.key * simd::lanes<C>;
  }
  template <class S, class P>
  GATESCAN_INLINE register_type read(const operand<S>& x, P* plane) const {
    P* const p = plane + first.offset(x);
    const index_t s = step(x);
    constexpr int lanes = simd::lanes<C>;
    if (x.key == 0) {
      const auto number = [=](index_t i) { return simd::pack<C>(convert<C>(p[i * s])); };
      if constexpr (!OfTokens) return register_type(number(0));
      return {number(0), number(1), number(2), number(3)};
    }
    if (IsComplex && x.key == 2) {  // one part of what is interleaved
      const auto part = [=](index_t i) { return simd::load<C>(p + i * s, 2, lanes); };
      return {part(0), part(1), part(2), part(3)};
    }
    const auto row = [=](index_t i) { return simd::load<C>(p + i * s, 1, lanes); };
    return {row(0), row(1), row(2), row(3)};
  }
  template <class S>
  GATESCAN_INLINE cplx<register_type> read_interleaved(const operand<S>& x) const {
    const S* const p = x.re + first.offset(x);
    const index_t s = step(x);
    const auto a = simd::load_interleaved<C>(p), b = simd::load_interleaved<C>(p + s),
               c = simd::load_interleaved<C>(p + 2 * s), d = simd::load_interleaved<C>(p + 3 * s);
    return {{a.re, b.re, c.re, d.re}, {a.im, b.im, c.im, d.im}};
  }
};
template <class C, bool IsComplex>
using token_quad = key_quad<C, IsComplex, true>;

template <bool IsComplex, class C>
GATESCAN_INLINE auto load_quad(const C* row, index_t pitch) {
  constexpr index_t lanes = simd::lanes<C>;
  if constexpr (IsComplex)
    return cplx<simd::packs<C>>{load_quad<false>(row, pitch), load_quad<false>(row + pitch, pitch)};
  else
    return simd::packs<C>{simd::load(row), simd::load(row + lanes), simd::load(row + 2 * lanes),
                          simd::load(row + 3 * lanes)};
}
template <class C>
GATESCAN_INLINE void store_quad(C* row, index_t, simd::packs<C> x) {
  constexpr index_t lanes = simd::lanes<C>;
  simd::store(row, x.a);
  simd::store(row + lanes, x.b);
  simd::store(row + 2 * lanes, x.c);
  simd::store(row + 3 * lanes, x.d);
}
template <class C>
GATESCAN_INLINE void store_quad(C* row, index_t pitch, cplx<simd::packs<C>> x) {
  store_quad(row, pitch, x.re);
  store_quad(row + pitch, pitch, x.im);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
