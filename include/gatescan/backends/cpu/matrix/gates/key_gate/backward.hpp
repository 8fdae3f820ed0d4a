#pragma once
// Matrix states with a gate a key, backward a chunk at a time. Nothing is divided, no state inside
// the chunk is formed.
//
// A gate a_t is met by every pair of a query r >= t and a key s < t. With dP_rs = do_r . v_s,
//
//   Y_r(t) = sum_{s<t} dP_rs k_s prod_{s<j<t} a_j      what the keys before t look like to query r
//   x_r(t) = q_r prod_{t<j<=r} a_j                     query r as seen from after t
//
//   conj(dq_r) = Y_r(r + 1)
//   conj(dk_t) = sum_{r>=t} x_r(t) dP_rt
//   conj(da_t) = sum_{r>=t} x_r(t) Y_r(t)              strictly causal: exact at a_t = 0
//   dv_s       = sum_{t>=s} P_ts do_t + Re((k_s prod_{j>s} a_j)^H G)
//   G_in       = conj(prod of all gates) G + sum_t conj(q_t prod_{j<=t} a_j) do_t^T
//
// [K] each, dv [V], the gradients of states [K, V]. S_in is one more key (its Y_r starts at S_in
// do_r) and S_out, whose gradient is G, one more query. Subchunks far apart meet through the same
// quantities at the subchunks' ends: Y, X = sum over later queries of conj(x) dP (the start of dk),
// and Z = sum of x Y over later queries (the start of da).

#include <utility>

#include "forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// to[j][token] = from[token][j], 0 for tokens that whole subchunks would have besides.
template <class C>
void transpose_tokens(index_t tokens, index_t width, const C* from, C* to) {
  const index_t pitch = subchunks_of(tokens) * block_tokens;
  if (tokens < pitch) fill(to, width * pitch, C(0));
  simd::transpose<C>(tokens, width, {from, width}, {to, pitch});
}
// out[token][rows] = sum_j state[rows][j] x[token][j], by way of x transposed: all tokens of the
// chunk at once, so that a number of the state serves as many as registers hold.
template <class C>
void contract_state(const matrix_shape& n, index_t tokens, const C* state, const C* x_transposed,
                    C* columns, C* out, prefetching ahead) {
  const index_t pitch = subchunks_of(tokens) * block_tokens;
  // [K, V] x [V, tokens]
  simd::set_product<C>(n.rows, pitch, n.value_pitch, simd::by_rows<C>(state, n.state_pitch),
                       {x_transposed, pitch}, {columns, pitch}, ahead);
  simd::transpose<C>(n.rows, tokens, {columns, pitch}, {out, n.rows});
}
// Blocks of the products with states, about.
template <class C>
index_t products_backward(const matrix_shape& n, index_t subchunks) {
  index_t contraction = 0;
  simd::for_each_panel<C>(subchunks * block_tokens, [&](index_t, index_t registers) {
    contraction += simd::row_blocks(n.rows, registers);
  });
  return 2 * contraction +
         panels_of<C>(n) * (simd::row_blocks(n.rows) + subchunks * simd::row_blocks(block_tokens));
}

template <class C, bool IsComplex>
class key_gate_adjoint {
 public:
  key_gate_adjoint() = default;
  /// Works in the scratch of `forward`, too.
  key_gate_adjoint(arena& scratch, const matrix_shape& n, index_t tokens,
                   const key_gate<C, IsComplex>& forward)
      : decayed_(forward.decayed()), exact_(scratch, n, tokens) {
    const index_t subchunks = subchunks_of(tokens);
    transposed_ = scratch.take<C>(n.value_pitch * subchunks * block_tokens);
    between_ = scratch.take<C>(subchunks * n.rows), z_ = scratch.take<C>(subchunks * n.rows);
    y_end_ = scratch.take<C>(n.rows);
    rows_ = scratch.take<C>(subchunks * block_tokens * n.rows);
    columns_ = scratch.take<C>(subchunks * block_tokens * n.rows);
    across_ = scratch.take<C>(block_tokens * block_tokens);
    d_scores_ = scratch.take<C>(block_tokens * block_tokens);
    spare_g_ = scratch.take<C>(n.state_size());
  }

  C* backward(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g) {
    const matrix_shape& n = c.x.n;
    C* const g_in = std::exchange(spare_g_, g);
    with_exact_fallback([&] { return in_products(c, d, g, g_in); },
                        [&] {
                          const C* da = exact_.backward(c, d, g, g_in);
                          exact_.replace_rows(n, c.tokens, d.da, da);
                        });
    return g_in;
  }
  void retreat(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g, C* g_in) const {
    decayed_.set_queries(c.x, c.tokens);
    incoming_gradient(c, d.d_o, g, g_in);
  }

 private:
  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_tiles<C>& x = c.x;
    const matrix_shape& n = x.n;
    const index_t subchunks = subchunks_of(c.tokens), vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    const keys_in_tiles<C, IsComplex> keys(x);
    for (index_t r = 0; r < subchunks; ++r) decayed_.set(keys, c.tokens, r);
    fill(d.dk, c.tokens * n.rows, C(0));
    fill(d.dv, c.tokens * vp, C(0));
    fill(z_, subchunks * n.rows, C(0));
    transpose_tokens(c.tokens, vp, static_cast<const C*>(d.d_o), transposed_);
    contract_state(n, c.tokens, c.state_in, static_cast<const C*>(transposed_), columns_, d.dq,
                   prefetching{c.memory});
    for (index_t r = 0; r < subchunks; ++r) pairs_with_earlier_subchunks(c, r, d);
    pairs_with_state_out(c, g, d);
    for (index_t r = 0; r < subchunks; ++r) {
      const index_t first = r * block_tokens, count = tokens_in_subchunk(c.tokens, r);
      const C *d_o = d.d_o + first * vp, *v = x.v + first * vp;
      // [tokens, later tokens] x [later tokens, V]
      simd::add_upper_product<C>(count, vp, simd::by_rows<C>(decayed_.scores_of(r), block_tokens),
                                 {d_o, vp}, {d.dv + first * vp, vp});
      // [tokens, V] x [V, tokens]
      simd::dot_products<C>(count, count, vp, {v, vp}, {d_o, vp}, {d_scores_, block_tokens});
      pairs_inside(c, r, d);
    }
    const bool finite = incoming_gradient(c, d.d_o, g, g_in);
    return finite && all_finite(d.dq, c.tokens, n.rows, n.rows) &&
           all_finite(d.dk, c.tokens, n.rows, n.rows) &&
           all_finite(d.da, c.tokens, n.rows, n.rows) && all_finite(d.dv, c.tokens, vp, vp);
  }

  // between[b] = product of the subchunks between b and `end`, for all before it.
  void set_between(const matrix_shape& n, index_t end) const {
    const index_t kp = n.key_pitch;
    for (index_t b = end - 1; b >= 0; --b)
      for (index_t i = 0; i < kp; i += simd::lanes<C>) {
        auto product = constant<IsComplex>(C(1));
        if (b < end - 1)
          product = load_keys<IsComplex>(between_ + (b + 1) * n.rows, i, kp) *
                    load_keys<IsComplex>(decayed_.total_of(b + 1), i, kp);
        store_keys<IsComplex>(between_ + b * n.rows, i, kp, product);
      }
  }

  // The queries of subchunk r with the keys of those before it: d.dq (Y), d.dk (X), d.dv and z.
  void pairs_with_earlier_subchunks(const token_chunk<C>& c, index_t r,
                                    const matrix_gradients<C>& gradients) const {
    const auto x = held(c.x);
    const auto d = held(gradients);
    const auto s = held(*this);
    const auto n = held(x.n);
    const index_t first = r * block_tokens, count = tokens_in_subchunk(c.tokens, r);
    const index_t kp = n.key_pitch, vp = n.value_pitch;
    const C* d_o = d.d_o + first * vp;
    C* y = d.dq + first * n.rows;
    const auto transposed = [](const C* scores) {  // row s, column t
      return simd::by_columns<C>(scores, block_tokens);
    };
    set_between(n, r);
    for (index_t b = 0; b < r; ++b) {
      const index_t key = b * block_tokens;
      C *q = s.rows_, *k = s.decayed_.k_of(b);
      for (index_t i = 0; i < kp; i += simd::lanes<C>) {
        const auto gap = load_keys<IsComplex>(s.between_ + b * n.rows, i, kp);
        auto z = load_keys<IsComplex>(s.z_ + b * n.rows, i, kp);
        for (index_t t = 0; t < count; ++t) {
          const auto qt =
              load_keys<IsComplex>(s.decayed_.q + (first + t) * n.rows, i, kp) * conj(gap);
          store_keys<IsComplex>(q + t * n.rows, i, kp, qt);
          z = fma(conj(qt), load_keys<IsComplex>(y + t * n.rows, i, kp), z);
        }
        store_keys<IsComplex>(s.z_ + b * n.rows, i, kp, z);
      }
      // dP: [keys, V] x [V, queries]; dk += dP x [queries, K]
      simd::dot_products<C>(block_tokens, count, vp, {x.v + key * vp, vp}, {d_o, vp},
                            {s.d_scores_, block_tokens});
      simd::add_product<C>(block_tokens, n.rows, count, transposed(s.d_scores_), {q, n.rows},
                           {d.dk + key * n.rows, n.rows});
      // P: [keys, K] x [K, queries]; dv += P x [queries, V]
      simd::dot_products<C>(block_tokens, count, n.rows, {k, n.rows}, {q, n.rows},
                            {s.across_, block_tokens});
      simd::add_product<C>(block_tokens, vp, count, transposed(s.across_), {d_o, vp},
                           {d.dv + key * vp, vp});
      // Y = total Y + dP^T x [keys, K]
      scale_keys<IsComplex>(y, count, n, s.decayed_.total_of(b), false);
      simd::add_product<C>(count, n.rows, block_tokens, simd::by_rows<C>(s.d_scores_, block_tokens),
                           {k, n.rows}, {y, n.rows});
    }
  }

  // S_out as a query: d.dk (X), d.dv and z, from its gradient g. Leaves k^ decayed to the chunk's
  // end in rows_.
  void pairs_with_state_out(const token_chunk<C>& c, const C* g,
                            const matrix_gradients<C>& gradients) const {
    const auto x = held(c.x);
    const auto d = held(gradients);
    const auto s = held(*this);
    const auto n = held(x.n);
    const index_t subchunks = subchunks_of(c.tokens), kp = n.key_pitch, vp = n.value_pitch;
    const prefetching ahead{c.memory};
    start_y_end(n, c.state_in, g);
    set_between(n, subchunks);
    transpose_tokens(c.tokens, vp, static_cast<const C*>(x.v), s.transposed_);
    contract_state(n, c.tokens, g, static_cast<const C*>(s.transposed_), s.columns_, s.rows_,
                   ahead);
    for (index_t b = 0; b < subchunks; ++b) {
      const index_t first = b * block_tokens, count = tokens_in_subchunk(c.tokens, b);
      C* u = s.rows_ + first * n.rows;
      for (index_t i = 0; i < kp; i += simd::lanes<C>) {
        const auto gap = load_keys<IsComplex>(s.between_ + b * n.rows, i, kp);
        auto y = load_keys<IsComplex>(s.y_end_, i, kp);
        store_keys<IsComplex>(s.z_ + b * n.rows, i, kp,
                              fma(gap, y, load_keys<IsComplex>(s.z_ + b * n.rows, i, kp)));
        y = y * load_keys<IsComplex>(s.decayed_.total_of(b), i, kp);
        for (index_t t = 0; t < count; ++t) {
          const index_t row = (first + t) * n.rows;
          const auto ut = load_keys<IsComplex>(u + t * n.rows, i, kp);
          const auto k = load_keys<IsComplex>(s.decayed_.k + row, i, kp);
          store_keys<IsComplex>(d.dk + row, i, kp,
                                fma(conj(gap), ut, load_keys<IsComplex>(d.dk + row, i, kp)));
          y = fma(k, conj(ut), y);
          store_keys<IsComplex>(u + t * n.rows, i, kp,
                                k * gap);  // from here on k^ decayed to the chunk's end
        }
        store_keys<IsComplex>(s.y_end_, i, kp, y);
      }
      // [tokens, K] x [K, V]
      simd::add_product<C>(count, vp, n.rows, simd::by_rows<C>(u, n.rows), {g, n.state_pitch},
                           {d.dv + first * vp, vp}, ahead);
    }
  }
  // y_end = sum_j conj(g) S_in
  void start_y_end(const matrix_shape& n, const C* state_in, const C* g) const {
    using P = simd::pack<C>;
    const index_t kp = n.key_pitch;
    for (index_t i = 0; i < kp; ++i) {
      P re(0), im(0);
      for (index_t j = 0; j < n.value_pitch; j += simd::lanes<C>) {
        const index_t at = i * n.state_pitch + j, at_im = (kp + i) * n.state_pitch + j;
        const P g_re = simd::load(g + at), s_re = simd::load(state_in + at);
        re = simd::fma(g_re, s_re, re);
        if constexpr (IsComplex) {
          const P g_im = simd::load(g + at_im), s_im = simd::load(state_in + at_im);
          re = simd::fma(g_im, s_im, re);
          im = simd::fma(g_re, s_im, simd::fma(-g_im, s_re, im));
        }
      }
      y_end_[i] = simd::sum(re);
      if constexpr (IsComplex) y_end_[kp + i] = simd::sum(im);
    }
  }

  // Pairs inside subchunk b, and the way from Y, X, Z at its ends to dq, dk, da of every token.
  void pairs_inside(const token_chunk<C>& c, index_t b,
                    const matrix_gradients<C>& gradients) const {
    using E = element_t<C, IsComplex>;
    const auto x = held(c.x);
    const auto d = held(gradients);
    const index_t kp = x.n.key_pitch, rows = x.n.rows;
    const index_t first = b * block_tokens, count = tokens_in_subchunk(c.tokens, b);
    const C *const d_scores = d_scores_, *const z = z_ + b * rows;
    const auto row = [=](C* base, index_t t) { return base + (first + t) * rows; };
    for (index_t i = 0; i < kp; i += simd::lanes<C>) {
      E y[block_tokens];
      for (index_t t = 0; t < count; ++t) y[t] = load_keys<IsComplex>(row(d.dq, t), i, kp);
      E y_end = load_keys<IsComplex>(z, i, kp);
      for (index_t t = 0; t < count; ++t) {
        E decay = constant<IsComplex>(C(1)), sum_a = constant<IsComplex>(C(0)), sum_k = sum_a;
        for (index_t r = t;;) {
          const E q = load_keys<IsComplex>(row(x.q, r), i, kp) * decay;
          sum_a = fma(q, y[r], sum_a);
          sum_k = fma(q, simd::pack<C>(d_scores[r * block_tokens + t]), sum_k);
          if (++r == count) break;
          decay = decay * load_keys<IsComplex>(row(x.a, r), i, kp);
        }
        const E x_end = conj(load_keys<IsComplex>(row(d.dk, t), i, kp));
        sum_a = fma(decay, y_end, sum_a);
        sum_k = fma(decay, x_end, sum_k);
        store_keys<IsComplex>(row(d.da, t), i, kp, conj(sum_a));
        store_keys<IsComplex>(row(d.dk, t), i, kp, conj(sum_k));

        const E a = load_keys<IsComplex>(row(x.a, t), i, kp),
                k = load_keys<IsComplex>(row(x.k, t), i, kp);
        for (index_t r = t; r < count; ++r)
          y[r] = fma(k, simd::pack<C>(d_scores[r * block_tokens + t]), a * y[r]);
        y_end = fma(a, y_end, k * x_end);
        store_keys<IsComplex>(row(d.dq, t), i, kp, conj(y[t]));
      }
    }
  }

  // g_in from g and q^ of the subchunks, which is used up; false where it is not finite.
  bool incoming_gradient(const token_chunk<C>& c, const C* d_o, const C* g, C* g_in) const {
    decayed_.from_chunk_start(c.x, c.tokens);
    return state_update<C, IsComplex, true>{c.x.n, c.tokens, decayed_.q, d_o, decayed_.gates(),
                                            g,     g_in}
        .all(prefetching{c.memory});
  }

  decayed_subchunks<C, IsComplex> decayed_{};
  exact_steps_adjoint<C, IsComplex> exact_{};
  C* transposed_ = nullptr;  // [value_pitch][token of whole subchunks]
  C* between_ = nullptr;   // [subchunk][rows]: product of the subchunks between it and the query's
  C* z_ = nullptr;         // [subchunk][rows]
  C* y_end_ = nullptr;     // [rows]
  C* rows_ = nullptr;      // [token][rows]
  C* columns_ = nullptr;   // [rows][token of whole subchunks]
  C* across_ = nullptr;    // [s][t]: P between two subchunks
  C* d_scores_ = nullptr;  // [t][s]: dP of two subchunks, or of one
  C* spare_g_ = nullptr;   // where g_in goes next
};
static_assert(chunk_adjoint<key_gate_adjoint<float, false>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
