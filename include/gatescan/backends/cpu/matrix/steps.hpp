#pragma once
// Matrix states, one token after another: the definition itself. A gate of exactly 0 selects the
// new input. Recurrent mode runs on this; the other modes fall back on it where Inf or NaN make
// products of gates mean something else.

#include "tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Where a state lies: rows of values, `pitch` apart, one or two planes.
template <class C>
struct state_rows {
  C *re, *im;
  index_t pitch;
};

// S = a S + k v and o = Re(q^T S) for one token; columns [j, j + Vecs registers).
template <bool Complex, std::size_t Vecs, class C>
GATESCAN_INLINE void step_columns(const matrix_tiles<C>& x, index_t t, index_t j,
                                  const state_rows<C>& state) {
  using P = simd::pack<C>;
  const matrix_shape& n = x.n;
  const C *q = x.q + t * n.rows, *k = x.k + t * n.rows, *a = x.a + t * n.rows;
  const index_t im = n.key_pitch, keys = n.keys, pitch = state.pitch;
  P v[Vecs], o[Vecs];
#pragma GCC unroll 8
  for (std::size_t c = 0; c < Vecs; ++c) {
    v[c] = simd::load(x.v + t * n.value_pitch + j + index_t(c) * simd::lanes<C>);
    o[c] = P(0);
  }
  C* row = state.re + j;
  C* row_im = Complex ? state.im + j : nullptr;
  for (index_t i = 0; i < keys; ++i, row += pitch) {
    const bool reset = Complex ? a[i] == 0 && a[im + i] == 0 : a[i] == 0;
#pragma GCC unroll 8
    for (std::size_t c = 0; c < Vecs; ++c) {
      C* at = row + index_t(c) * simd::lanes<C>;
      if constexpr (Complex) {
        C* at_im = row_im + i * pitch + index_t(c) * simd::lanes<C>;
        cplx<P> s{P(k[i]) * v[c], P(k[im + i]) * v[c]};
        if (!reset)
          s = fma(cplx<P>{P(a[i]), P(a[im + i])}, cplx<P>{simd::load(at), simd::load(at_im)}, s);
        simd::store(at, s.re);
        simd::store(at_im, s.im);
        o[c] = add_real_product(cplx<P>{P(q[i]), P(q[im + i])}, s, o[c]);
      } else {
        P s = P(k[i]) * v[c];
        if (!reset) s = simd::fma(P(a[i]), simd::load(at), s);
        simd::store(at, s);
        o[c] = simd::fma(P(q[i]), s, o[c]);
      }
    }
  }
#pragma GCC unroll 8
  for (std::size_t c = 0; c < Vecs; ++c)
    simd::store(x.o + t * n.value_pitch + j + index_t(c) * simd::lanes<C>, o[c]);
}

/// Token t: advances the state in place and writes o.
template <bool Complex, class C>
void step_token(const matrix_tiles<C>& x, index_t t, const state_rows<C>& state) {
  constexpr std::size_t wide = Complex || simd::register_count < 16 ? 4 : 8;
  const index_t width = simd::lanes<C>, end = x.n.value_pitch;
  index_t j = 0;
  for (; j + index_t(wide) * width <= end; j += index_t(wide) * width)
    step_columns<Complex, wide>(x, t, j, state);
  for (; j + 2 * width <= end; j += 2 * width) step_columns<Complex, 2>(x, t, j, state);
  for (; j < end; j += width) step_columns<Complex, 1>(x, t, j, state);
}
template <bool Complex, class C>
void step_token(const matrix_tiles<C>& x, index_t t, C* state) {
  const matrix_shape& n = x.n;
  step_token<Complex>(x, t,
                      state_rows<C>{state, state + n.key_pitch * n.state_pitch, n.state_pitch});
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
