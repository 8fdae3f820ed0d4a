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

/// The adjoint of one token. `before` and `after` are the states round it. On entry `g` is the
/// gradient of `after` from later tokens; on return that of `before`. Writes dq, dk, da and dv of
/// the token.
template <bool Complex, class C>
void step_adjoint(const matrix_tiles<C>& x, index_t t, const C* before, const C* after,
                  const C* d_o, C* g, C* dq, C* dk, C* da, C* dv) {
  using P = simd::pack<C>;
  const matrix_shape& n = x.n;
  const C *q = x.q + t * n.rows, *k = x.k + t * n.rows, *a = x.a + t * n.rows;
  const C* v = x.v + t * n.value_pitch;
  const index_t im = n.key_pitch, width = simd::lanes<C>;
  for (index_t j = 0; j < n.value_pitch; ++j) dv[j] = 0;
  for (index_t i = 0; i < n.keys; ++i) {
    const index_t re_row = i * n.state_pitch, im_row = (im + i) * n.state_pitch;
    if constexpr (Complex) {
      const cplx<P> qi{P(q[i]), P(q[im + i])}, ki{P(k[i]), P(k[im + i])}, ai{P(a[i]), P(a[im + i])};
      const bool reset = a[i] == 0 && a[im + i] == 0;
      cplx<P> sum_q{P(0), P(0)}, sum_k = sum_q, sum_a = sum_q;
      for (index_t j = 0; j < n.value_pitch; j += width) {
        const P d = simd::load(d_o + j), vj = simd::load(v + j);
        cplx<P> gj{simd::load(g + re_row + j), simd::load(g + im_row + j)};
        gj = fma(conj(qi), d, gj);
        const cplx<P> s1{simd::load(after + re_row + j), simd::load(after + im_row + j)};
        const cplx<P> s0{simd::load(before + re_row + j), simd::load(before + im_row + j)};
        sum_q = fma(conj(s1), d, sum_q);
        sum_k = fma(gj, vj, sum_k);
        sum_a = fma(gj, conj(s0), sum_a);
        simd::store(dv + j, simd::fma(gj.re, ki.re, simd::fma(gj.im, ki.im, simd::load(dv + j))));
        gj = reset ? cplx<P>{P(0), P(0)} : conj(ai) * gj;
        simd::store(g + re_row + j, gj.re);
        simd::store(g + im_row + j, gj.im);
      }
      dq[i] = simd::sum(sum_q.re), dq[im + i] = simd::sum(sum_q.im);
      dk[i] = simd::sum(sum_k.re), dk[im + i] = simd::sum(sum_k.im);
      da[i] = simd::sum(sum_a.re), da[im + i] = simd::sum(sum_a.im);
    } else {
      P sum_q(0), sum_k(0), sum_a(0);
      for (index_t j = 0; j < n.value_pitch; j += width) {
        const P d = simd::load(d_o + j), vj = simd::load(v + j);
        const P gj = simd::fma(P(q[i]), d, simd::load(g + re_row + j));
        sum_q = simd::fma(simd::load(after + re_row + j), d, sum_q);
        sum_k = simd::fma(gj, vj, sum_k);
        sum_a = simd::fma(gj, simd::load(before + re_row + j), sum_a);
        simd::store(dv + j, simd::fma(gj, P(k[i]), simd::load(dv + j)));
        simd::store(g + re_row + j, a[i] == 0 ? P(0) : P(a[i]) * gj);
      }
      dq[i] = simd::sum(sum_q), dk[i] = simd::sum(sum_k), da[i] = simd::sum(sum_a);
    }
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
