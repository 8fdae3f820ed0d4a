#pragma once
// How many neighbours go through a recurrence's math side by side: one token at one register of
// channels, or four registers: two tokens of two, which share the math along keys, or a row of one
// token, for work that memory limits and that should read it in order.

#include "../operands/cursor.hpp"
#include "../simd/pack4.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Any strides, and a register that may be used in part.
template <class C, bool IsComplex>
struct single_token : cursor<C, IsComplex, along::values> {
  static constexpr index_t tokens = 1, registers = 1;
};

// Whole registers, of channels that lie side by side or share a number.
template <class C, bool IsComplex, index_t Tokens>
struct token_group {
  static constexpr index_t tokens = Tokens, registers = 4 / Tokens;
  static constexpr index_t lanes = simd::lanes<C>;
  using place = cursor<C, IsComplex, along::values>;
  using register_type = simd::packs<C>;  // token by token
  using element_type = std::conditional_t<IsComplex, cplx<register_type>, register_type>;

  place first;

  template <class S>
  static bool fits(const operand<S>& x) {
    return x.value == 0 || x.value == 1 || (IsComplex && is_interleaved(x, x.value));
  }
  template <class S>
  GATESCAN_INLINE register_type operator()(const operand<S>& x) const {
    return read(x, x.re);
  }
  template <class S>
  GATESCAN_INLINE element_type element(const operand<S>& x) const {
    if constexpr (IsComplex) {
      if (x.value == 2) return read_interleaved(x);
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
  /// What all channels share.
  template <class S, class P>
  GATESCAN_INLINE register_type shared(const operand<S>& x, P* plane) const {
    P* const p = plane + first.offset(x);
    const simd::pack<C> early(convert<C>(*p));
    const simd::pack<C> late(convert<C>(tokens == 2 ? p[x.time] : *p));
    return {early, early, late, late};
  }
  GATESCAN_INLINE void add_shared(const gradient_tile<C>& d, C* plane,
                                  const register_type& g) const {
    C* p = plane + first.tile_t * d.time + first.key * d.key;
    if (tokens == 1 || d.time == 0) return add_row(p, (g.a + g.b) + (g.c + g.d));
    add_row(p, g.a, g.b);  // one by one, as tokens alone do
    add_row(p + d.time, g.c, g.d);
  }

 private:
  static GATESCAN_INLINE void add_row(C* to, simd::pack<C> x) {
    simd::store(to, simd::load(to) + x);
  }
  static GATESCAN_INLINE void add_row(C* to, simd::pack<C> x, simd::pack<C> y) {
    simd::store(to, (simd::load(to) + x) + y);
  }
  template <class S, class P>
  GATESCAN_INLINE register_type read(const operand<S>& x, P* plane) const {
    P* const p = plane + first.offset(x);
    if (x.value == 0) return shared(x, plane);
    if (IsComplex && x.value == 2) {  // one part of what is interleaved
      const auto part = [&](index_t i) {
        return simd::load<C>(p + i / registers * x.time + i % registers * 2 * lanes, 2, lanes);
      };
      return {part(0), part(1), part(2), part(3)};
    }
    const auto row = [&](index_t i) {
      return simd::load<C>(p + i / registers * x.time + i % registers * lanes, 1, lanes);
    };
    return {row(0), row(1), row(2), row(3)};
  }
  template <class S>
  GATESCAN_INLINE cplx<register_type> read_interleaved(const operand<S>& x) const {
    const S* const p = x.re + first.offset(x);
    const auto row = [&](index_t i) {
      return simd::load_interleaved<C>(p + i / registers * x.time + i % registers * 2 * lanes);
    };
    const auto a = row(0), b = row(1), c = row(2), d = row(3);
    return {{a.re, b.re, c.re, d.re}, {a.im, b.im, c.im, d.im}};
  }
  GATESCAN_INLINE void add_plane(const gradient_tile<C>& d, C* plane,
                                 const register_type& g) const {
    if (d.value == 0) return add_shared(d, plane, g);
    C* p = plane + first.tile_t * d.time + first.key * d.key + first.value * d.value;
    if (tokens == 2 && d.time == 0) {
      add_row(p, g.a + g.c);
      add_row(p + lanes, g.b + g.d);
      return;
    }
    const auto put = [&](index_t i, simd::pack<C> part) {
      C* to = p + i / registers * d.time + i % registers * lanes;
      if (d.how != writing::add)
        d.put(to, part);
      else
        add_row(to, part);
    };
    put(0, g.a), put(1, g.b), put(2, g.c), put(3, g.d);
  }
};

// Reads numbers that all channels share, and adds to their gradients.
template <class Tokens>
struct shared_by_channels {
  Tokens here;

  template <class S>
  GATESCAN_INLINE auto operator()(const operand<S>& x) const {
    return here.shared(x, x.re);
  }
  template <class C>
  GATESCAN_INLINE void add(const gradient_tile<C>& d, const simd::packs<C>& g) const {
    if (d.given) here.add_shared(d, d.re, g);
  }
};

template <class C, bool IsComplex>
using token_pair = token_group<C, IsComplex, 2>;
template <class C, bool IsComplex>
using token_row = token_group<C, IsComplex, 1>;

// The part of one token and register.
template <class C>
GATESCAN_INLINE simd::pack<C> part(const simd::pack<C>& x, index_t, index_t) {
  return x;
}
template <class C>
GATESCAN_INLINE simd::pack<C> part(const simd::packs<C>& x, index_t token, index_t r) {
  return nth(x, static_cast<int>(2 * token + r));
}
template <class R>
GATESCAN_INLINE auto part(const cplx<R>& x, index_t token, index_t r)
    -> cplx<decltype(part(x.re, token, r))> {
  return {part(x.re, token, r), part(x.im, token, r)};
}
template <class C>
GATESCAN_INLINE void set_part(simd::pack<C>& x, index_t, index_t, simd::pack<C> y) {
  x = y;
}
template <class C>
GATESCAN_INLINE void set_part(simd::packs<C>& x, index_t token, index_t r, simd::pack<C> y) {
  set_nth(x, static_cast<int>(2 * token + r), y);
}
template <class R, class C>
GATESCAN_INLINE void set_part(cplx<R>& x, index_t token, index_t r, cplx<simd::pack<C>> y) {
  set_part(x.re, token, r, y.re), set_part(x.im, token, r, y.im);
}
// The same real number everywhere.
template <class E, class C>
GATESCAN_INLINE E every(C x) {
  if constexpr (is_complex<E>::value) {
    using R = decltype(E::re);
    return {R(x), R(0)};
  } else {
    return E(x);
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
