#pragma once
// Matrix states, backward a chunk at a time. Nothing is divided, no state inside the chunk is
// formed.
//
// A gate a_t is met by every pair (query r >= t, key s < t). With P_rs = Re sum_i q_r[i] k_s[i]
// prod_{j=s+1..r} a_j[i]
//   Y_r(t) = sum_{s<t} dP_rs k_s prod_{j=s+1..t-1} a_j        what the keys before t look like to
//   query r x_r(t) = q_r prod_{j=t+1..r} a_j                          query r seen from after t
//   conj(da_t) = sum_{r>=t} x_r(t) Y_r(t)                     strictly causal: exact at a_t = 0
//   conj(dk_t) = sum_{r>=t} x_r(t) dP_rt                      conj(dq_r) = Y_r(r+1)
// S_in is one more key (its Y_r starts at S_in do_r) and the outgoing state one more query. Blocks
// far apart meet through the same quantities at block boundaries: Y, X = sum over later queries of
// conj(x) dP (the start of dk), and Z = sum of x Y over later queries (the start of da).

#include "chunk.hpp"
#include "steps_adjoint.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct chunk_adjoint_scratch {
  C* transposed = nullptr;  // [value_pitch][token of whole blocks]
  C* between = nullptr;     // [block][rows]: product of the blocks between a block and the query's
  C* z = nullptr;           // [block][rows]
  C* y_end = nullptr;       // [rows]
  C* rows = nullptr;        // [token][rows]
  C* columns = nullptr;     // [rows][token of whole blocks]
  C* d_scores = nullptr;    // [block_tokens][block_tokens]
  C* spare_g = nullptr;
  matrix_gradients<C> spare{};  // for the token by token fallback
  steps_adjoint_scratch<C> replay{};

  chunk_adjoint_scratch() = default;
  chunk_adjoint_scratch(arena& scratch, const matrix_shape& n, index_t tokens)
      : spare(scratch, n, tokens), replay(scratch, tokens, n.rows != n.key_pitch) {
    const index_t blocks = blocks_of(tokens);
    transposed = scratch.take<C>(n.value_pitch * blocks * block_tokens);
    between = scratch.take<C>(blocks * n.rows), z = scratch.take<C>(blocks * n.rows);
    y_end = scratch.take<C>(n.rows);
    rows = scratch.take<C>(blocks * block_tokens * n.rows);
    columns = scratch.take<C>(blocks * block_tokens * n.rows);
    d_scores = scratch.take<C>(block_tokens * block_tokens);
    spare_g = scratch.take<C>(n.state_size());
  }
};

// to[j][token] = from[token][j], 0 for tokens that whole blocks would have besides.
template <class C>
void transpose_tokens(index_t tokens, index_t width, const C* from, C* to) {
  const index_t pitch = blocks_of(tokens) * block_tokens;
  if (tokens < pitch) fill(to, width * pitch, C(0));
  simd::transpose<C>(tokens, width, {from, width}, {to, pitch});
}
// out[token][rows] = sum_j state[rows][j] x[token][j], by way of x transposed: all tokens of the
// chunk at once, so that a number of the state serves as many as registers hold.
template <class C>
void contract_state(const matrix_shape& n, index_t tokens, const C* state, const C* x_transposed,
                    C* columns, C* out, prefetching ahead) {
  const index_t pitch = blocks_of(tokens) * block_tokens;
  simd::set_product<C>(n.rows, pitch, n.value_pitch, simd::by_rows<C>(state, n.state_pitch),
                       {x_transposed, pitch}, {columns, pitch}, ahead);
  simd::transpose<C>(n.rows, tokens, {columns, pitch}, {out, n.rows});
}

// f(i) for the first key of every register of a row
template <class C, class F>
void for_each_key(const matrix_shape& n, F&& f) {
  for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) f(i);
}

// Everything between a block of queries and the blocks before it: d.dq (Y), d.dk (X), d.dv and z.
template <bool IsComplex, class C>
void block_pairs(const matrix_tiles<C>& tiles, index_t tokens, index_t r,
                 const chunk_scratch<C>& products, const matrix_gradients<C>& gradients,
                 const chunk_adjoint_scratch<C>& scratch) {
  const matrix_tiles<C> x = tiles;  // copies: what is stored to might otherwise be these
  const chunk_scratch<C> w = products;
  const matrix_gradients<C> d = gradients;
  const chunk_adjoint_scratch<C> s = scratch;
  const matrix_shape n = x.n;
  const index_t first = r * block_tokens, count = tokens_in_block(tokens, r), kp = n.key_pitch;
  const C* d_o = d.d_o + first * n.value_pitch;
  C* y = d.dq + first * n.rows;
  const auto rows_of = [](const C* scores) {  // transposed: row s, column t
    return simd::by_columns<C>(scores, block_tokens);
  };
  for (index_t b = r - 1; b >= 0; --b)
    for_each_key<C>(n, [&](index_t i) {
      auto product = constant<IsComplex>(C(1));
      if (b < r - 1)
        product = load_keys<IsComplex>(s.between + (b + 1) * n.rows, i, kp) *
                  load_keys<IsComplex>(w.totals + (b + 1) * n.rows, i, kp);
      store_keys<IsComplex>(s.between + b * n.rows, i, kp, product);
    });
  for (index_t b = 0; b < r; ++b) {
    const index_t key = b * block_tokens;
    C* q = s.rows;
    for_each_key<C>(n, [&](index_t i) {
      const auto gap = load_keys<IsComplex>(s.between + b * n.rows, i, kp);
      auto z = load_keys<IsComplex>(s.z + b * n.rows, i, kp);
      for (index_t t = 0; t < count; ++t) {
        const auto qt = load_keys<IsComplex>(w.q_decayed + (first + t) * n.rows, i, kp) * conj(gap);
        store_keys<IsComplex>(q + t * n.rows, i, kp, qt);
        z = fma(conj(qt), load_keys<IsComplex>(y + t * n.rows, i, kp), z);
      }
      store_keys<IsComplex>(s.z + b * n.rows, i, kp, z);
    });
    simd::dot_products<C>(block_tokens, count, n.value_pitch,
                          {x.v + key * n.value_pitch, n.value_pitch}, {d_o, n.value_pitch},
                          {s.d_scores, block_tokens});
    simd::add_product<C>(block_tokens, n.rows, count, rows_of(s.d_scores), {q, n.rows},
                         {d.dk + key * n.rows, n.rows});
    simd::dot_products<C>(block_tokens, count, n.rows, {w.k_decayed + key * n.rows, n.rows},
                          {q, n.rows}, {w.across, block_tokens});
    simd::add_product<C>(block_tokens, n.value_pitch, count, rows_of(w.across),
                         {d_o, n.value_pitch}, {d.dv + key * n.value_pitch, n.value_pitch});
    scale_keys<IsComplex>(y, count, n, w.totals + b * n.rows, false);
    simd::add_product<C>(count, n.rows, block_tokens, simd::by_rows<C>(s.d_scores, block_tokens),
                         {w.k_decayed + key * n.rows, n.rows}, {y, n.rows});
  }
}

// The outgoing state as a query: d.dk (X), d.dv and z, from its gradient g.
template <bool IsComplex, class C>
void state_pairs(const matrix_tiles<C>& tiles, index_t tokens, const C* state_in, const C* g,
                 const chunk_scratch<C>& products, const matrix_gradients<C>& gradients,
                 const chunk_adjoint_scratch<C>& scratch, prefetching ahead) {
  using P = simd::pack<C>;
  const matrix_tiles<C> x = tiles;  // copies, as above
  const chunk_scratch<C> w = products;
  const matrix_gradients<C> d = gradients;
  const chunk_adjoint_scratch<C> s = scratch;
  const matrix_shape n = x.n;
  const index_t blocks = blocks_of(tokens), kp = n.key_pitch;
  for (index_t i = 0; i < kp; ++i) {  // y_end = sum_j conj(g) S_in
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
    s.y_end[i] = simd::sum(re);
    if constexpr (IsComplex) s.y_end[kp + i] = simd::sum(im);
  }
  for (index_t b = blocks - 1; b >= 0; --b)
    for_each_key<C>(n, [&](index_t i) {
      auto product = constant<IsComplex>(C(1));
      if (b < blocks - 1)
        product = load_keys<IsComplex>(s.between + (b + 1) * n.rows, i, kp) *
                  load_keys<IsComplex>(w.totals + (b + 1) * n.rows, i, kp);
      store_keys<IsComplex>(s.between + b * n.rows, i, kp, product);
    });
  transpose_tokens(tokens, n.value_pitch, static_cast<const C*>(x.v), s.transposed);
  contract_state(n, tokens, g, static_cast<const C*>(s.transposed), s.columns, s.rows, ahead);
  for (index_t b = 0; b < blocks; ++b) {
    const index_t first = b * block_tokens, count = tokens_in_block(tokens, b);
    C* u = s.rows + first * n.rows;
    for_each_key<C>(n, [&](index_t i) {
      const auto gap = load_keys<IsComplex>(s.between + b * n.rows, i, kp);
      auto y = load_keys<IsComplex>(s.y_end, i, kp);
      store_keys<IsComplex>(s.z + b * n.rows, i, kp,
                            fma(gap, y, load_keys<IsComplex>(s.z + b * n.rows, i, kp)));
      y = y * load_keys<IsComplex>(w.totals + b * n.rows, i, kp);
      for (index_t t = 0; t < count; ++t) {
        const index_t row = (first + t) * n.rows;
        const auto ut = load_keys<IsComplex>(u + t * n.rows, i, kp);
        const auto k = load_keys<IsComplex>(w.k_decayed + row, i, kp);
        store_keys<IsComplex>(d.dk + row, i, kp,
                              fma(conj(gap), ut, load_keys<IsComplex>(d.dk + row, i, kp)));
        y = fma(k, conj(ut), y);
        store_keys<IsComplex>(u + t * n.rows, i, kp,
                              k * gap);  // from here on k^ decayed to the chunk's end
      }
      store_keys<IsComplex>(s.y_end, i, kp, y);
    });
    simd::add_product<C>(count, n.value_pitch, n.rows, simd::by_rows<C>(u, n.rows),
                         {g, n.state_pitch}, {d.dv + first * n.value_pitch, n.value_pitch}, ahead);
  }
}

// Pairs inside a block, and the way from Y, X, Z at the block's ends to dq, dk, da of every token.
template <bool IsComplex, class C>
void block_interior(const matrix_tiles<C>& tiles, index_t first, index_t count, const C* z,
                    const matrix_gradients<C>& gradients, const C* d_scores) {
  using E = element_t<C, IsComplex>;
  const matrix_tiles<C> x = tiles;  // copies, as above
  const matrix_gradients<C> d = gradients;
  const index_t kp = x.n.key_pitch, rows = x.n.rows;
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

/// g_in = conj(prod of gates) g_out + sum_t conj(q^_t prod of earlier blocks) do_t^T, from q^ of
/// the blocks, which is used up. False where it is not finite.
template <bool IsComplex, class C>
bool incoming_gradient(const matrix_tiles<C>& x, index_t tokens, const C* d_o, const C* g_out,
                       C* g_in, const chunk_scratch<C>& w, prefetching ahead) {
  const matrix_shape& n = x.n;
  for (index_t b = 1; b < blocks_of(tokens);
       ++b) {  // totals become products from the chunk's start
    const C* earlier = w.totals + (b - 1) * n.rows;
    scale_keys<IsComplex>(w.q_decayed + b * block_tokens * n.rows, tokens_in_block(tokens, b), n,
                          earlier, true);
    scale_keys<IsComplex>(w.totals + b * n.rows, 1, n, earlier, false);
  }
  chunk_gates<IsComplex>(x, w.totals + (blocks_of(tokens) - 1) * n.rows, w.product, w.product_low);
  simd::pack<C> watch(0);
  simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
    watch += carry_panel<IsComplex, true>(registers, j, n, tokens, w.q_decayed, d_o, g_out, g_in,
                                          w.gates(), ahead);
  });
  return state_finite(watch, static_cast<const C*>(g_in), n);
}

// The token by token form, from s.spare_g: s.spare, and in s.spare_g the gradient of the incoming
// state.
template <bool IsComplex, class C>
void take_steps_backward(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C* d_o,
                         chunk_adjoint_scratch<C>& s) {
  const matrix_shape& n = x.n;
  s.spare.d_o = d_o;
  fill(s.spare_g + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
  steps_backward<IsComplex>(x, tokens, state_in, s.spare_g, s.spare, s.replay);
}
// Those of gates, which keys may share, are the caller's.
template <class C>
void replace_non_finite_gradients(const matrix_shape& n, index_t tokens,
                                  const chunk_adjoint_scratch<C>& s, const matrix_gradients<C>& d,
                                  C* g) {
  for (index_t t = 0; t < tokens; ++t)
    for (index_t plane = 0; plane < n.rows; plane += n.key_pitch) {
      const index_t at = t * n.rows + plane;
      replace_non_finite(d.dq + at, s.spare.dq + at, n.keys);
      replace_non_finite(d.dk + at, s.spare.dk + at, n.keys);
    }
  replace_non_finite(d.dv, s.spare.dv, tokens * n.value_pitch);
  replace_non_finite_state(g, s.spare_g, n);
}

// Blocks of the products with states, about.
template <class C>
index_t products_backward(const matrix_shape& n, index_t blocks) {
  index_t contraction = 0;
  simd::for_each_panel<C>(blocks * block_tokens, [&](index_t, index_t registers) {
    contraction += simd::row_blocks(n.rows, registers);
  });
  return 2 * contraction +
         panels_of<C>(n) * (simd::row_blocks(n.rows) + blocks * simd::row_blocks(block_tokens));
}

/// Gradients of every token of the chunk from d.d_o and g, the gradient of the outgoing state; on
/// return g is the gradient of the incoming state, where s.spare_g was, which is now the other.
/// Results that are not finite are taken from the token by token form.
template <bool IsComplex, class C>
void chunk_backward(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C*& g,
                    const matrix_gradients<C>& d, const chunk_scratch<C>& w,
                    chunk_adjoint_scratch<C>& s, prefetcher& memory) {
  const matrix_shape& n = x.n;
  const index_t blocks = blocks_of(tokens);
  const prefetching ahead{&memory};
  memory.begin(products_backward<C>(n, blocks));
  std::swap(g, s.spare_g);
  const keys_in_tiles<IsComplex, C> keys{x};
  for (index_t b = 0; b < blocks; ++b) block_products<IsComplex>(keys, n, tokens, b, w);
  fill(d.dk, tokens * n.rows, C(0));
  fill(d.dv, tokens * n.value_pitch, C(0));
  fill(s.z, blocks * n.rows, C(0));
  transpose_tokens(tokens, n.value_pitch, static_cast<const C*>(d.d_o), s.transposed);
  contract_state(n, tokens, state_in, static_cast<const C*>(s.transposed), s.columns, d.dq, ahead);
  for (index_t b = 0; b < blocks; ++b) block_pairs<IsComplex>(x, tokens, b, w, d, s);
  state_pairs<IsComplex>(x, tokens, state_in, static_cast<const C*>(s.spare_g), w, d, s, ahead);
  for (index_t b = 0; b < blocks; ++b) {
    const index_t first = b * block_tokens, count = tokens_in_block(tokens, b);
    const C* d_o = d.d_o + first * n.value_pitch;
    simd::add_upper_product<C>(count, n.value_pitch, simd::by_rows<C>(w.scores_of(b), block_tokens),
                               {d_o, n.value_pitch}, {d.dv + first * n.value_pitch, n.value_pitch});
    simd::dot_products<C>(count, count, n.value_pitch, {x.v + first * n.value_pitch, n.value_pitch},
                          {d_o, n.value_pitch}, {s.d_scores, block_tokens});
    block_interior<IsComplex>(x, first, count, s.z + b * n.rows, d, s.d_scores);
  }
  const bool finite = incoming_gradient<IsComplex>(x, tokens, d.d_o, s.spare_g, g, w, ahead);
  if (finite && all_finite(d.dq, tokens, n.rows, n.rows) &&
      all_finite(d.dk, tokens, n.rows, n.rows) && all_finite(d.da, tokens, n.rows, n.rows) &&
      all_finite(d.dv, tokens, n.value_pitch, n.value_pitch))
    return;
  take_steps_backward<IsComplex>(x, tokens, state_in, d.d_o, s);
  for (index_t t = 0; t < tokens; ++t)
    for (index_t plane = 0; plane < n.rows; plane += n.key_pitch)
      replace_non_finite(d.da + t * n.rows + plane, s.spare.da + t * n.rows + plane, n.keys);
  replace_non_finite_gradients(n, tokens, s, d, g);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
