#pragma once
// A cursor over four registers, for which a recurrence's math is done side by side: neighbours
// along keys or values of one token, the same register of four tokens, or two of two. Whole
// registers, of numbers that lie side by side or are one number.

#include "../simd/pack4.hpp"
#include "cursor.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex, along Lanes, index_t Tokens>
struct cursor4 {
  static constexpr index_t tokens = Tokens, registers = 4 / Tokens;  // registers of a token
  static constexpr index_t lanes = simd::lanes<C>, width = registers * lanes;
  using register_type = simd::pack4<C>;  // token by token
  using element_type = std::conditional_t<IsComplex, cplx<register_type>, register_type>;

  cursor<C, IsComplex, Lanes> first;

  template <class S>
  static bool fits(const operand<S>& x) {
    return stride(x) == 0 || stride(x) == 1 || (IsComplex && is_interleaved(x, stride(x)));
  }
  template <class S>
  GATESCAN_INLINE register_type operator()(const operand<S>& x) const {
    return read(x, x.re);
  }
  template <class S>
  GATESCAN_INLINE element_type element(const operand<S>& x) const {
    if constexpr (IsComplex) {
      if (stride(x) == 2) return read_interleaved(x);
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

  /// Which of the four is register r of token t.
  static constexpr index_t index(index_t t, index_t r) { return registers * t + r; }
  /// The number that all lanes of a token read.
  template <class S, class P>
  GATESCAN_INLINE register_type shared(const operand<S>& x, P* plane) const {
    P* const p = plane + first.offset(x);
    const auto number = [&](index_t i) {
      return simd::pack<C>(convert<C>(p[i / registers * x.time]));
    };
    if constexpr (tokens == 1) return register_type(number(0));
    return {number(0), number(1), number(2), number(3)};
  }
  GATESCAN_INLINE void add_shared(const gradient_tile<C>& d, C* plane,
                                  const register_type& g) const {
    if constexpr (Lanes == along::keys) {
      first.add_plane(d, plane, g.a), first.add_plane(d, plane, g.b);
      first.add_plane(d, plane, g.c), first.add_plane(d, plane, g.d);
    } else {
      C* const p = plane + first.offset_in(d);
      if (tokens == 1 || d.time == 0) return add_row(p, (g.a + g.b) + (g.c + g.d));
      add_row(p, g.a, g.b);  // one by one, as tokens alone do
      add_row(p + d.time, g.c, g.d);
    }
  }

 private:
  template <class X>
  static GATESCAN_INLINE index_t stride(const X& x) {
    return Lanes == along::keys ? x.key : x.value;
  }
  // f of where each register begins in an operand or a tile of this stride
  template <class X, class F>
  static GATESCAN_INLINE auto each(const X& x, index_t step, F&& f) {
    const auto at = [&](index_t i) {
      return f(i / registers * x.time + i % registers * step * lanes);
    };
    const auto a = at(0), b = at(1), c = at(2), d = at(3);
    if constexpr (is_complex<std::remove_const_t<decltype(a)>>::value)
      return cplx<register_type>{{a.re, b.re, c.re, d.re}, {a.im, b.im, c.im, d.im}};
    else
      return register_type{a, b, c, d};
  }
  template <class S, class P>
  GATESCAN_INLINE register_type read(const operand<S>& x, P* plane) const {
    P* const p = plane + first.offset(x);
    constexpr int whole = static_cast<int>(lanes);
    if (stride(x) == 0) return shared(x, plane);
    if (IsComplex && stride(x) == 2)  // one part of what is interleaved
      return each(x, 2, [&](index_t at) { return simd::load<C>(p + at, 2, whole); });
    return each(x, 1, [&](index_t at) { return simd::load<C>(p + at, 1, whole); });
  }
  template <class S>
  GATESCAN_INLINE cplx<register_type> read_interleaved(const operand<S>& x) const {
    const S* const p = x.re + first.offset(x);
    return each(x, 2, [&](index_t at) { return simd::load_interleaved<C>(p + at); });
  }
  GATESCAN_INLINE void add_plane(const gradient_tile<C>& d, C* plane,
                                 const register_type& g) const {
    if (stride(d) == 0) return add_shared(d, plane, g);
    C* const p = plane + first.offset_in(d);
    if (tokens == 2 && d.time == 0) {
      add_row(p, g.a + g.c);
      add_row(p + lanes, g.b + g.d);
      return;
    }
    const auto put = [&](index_t i, simd::pack<C> part) {
      C* const to = p + i / registers * d.time + i % registers * lanes;
      if (d.how != writing::add)
        d.put(to, part);
      else
        add_row(to, part);
    };
    put(0, g.a), put(1, g.b), put(2, g.c), put(3, g.d);
  }
  static GATESCAN_INLINE void add_row(C* to, simd::pack<C> x) {
    simd::store(to, simd::load(to) + x);
  }
  static GATESCAN_INLINE void add_row(C* to, simd::pack<C> x, simd::pack<C> y) {
    simd::store(to, (simd::load(to) + x) + y);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
