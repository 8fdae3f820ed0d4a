#pragma once
// Backward of matrix states whose keys share one real gate a token, a chunk at a time. With
//
//   D(t,s) = prod_{s<j<=t} a_j,  M_ts = (do_t . v_s) D(t,s),  P_ts = (q_t . k_s) D(t,s),  s <= t
//   b_t    = prod_{j<=t} a_j,    e_s  = prod_{j>s} a_j,       G the gradient of S_out
//
//   dq_t = sum_{s<=t} M_ts k_s  + b_t S_in do_t
//   dk_s = sum_{t>=s} M_ts q_t  + e_s G v_s
//   dv_s = sum_{t>=s} P_ts do_t + e_s G^T k_s
//   G_in = (prod of all gates) G + sum_t q_t (b_t do_t)^T
//
// A pair E_ts = (do_t . v_s) (q_t . k_s) goes through the gates s < j <= t. S_in is one more key
// (E = q_t . S_in do_t), S_out one more query (E = k_s . G v_s). Nothing is divided:
//
//   x_s(j) = sum_{t>=j} E_ts D(t,j) = E_js + a_{j+1} x_s(j+1)     what later queries see of key s
//   da_j   = sum_{s<j} D(j-1,s) x_s(j)

#include "chunk_adjoint.hpp"
#include "shared_gate.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct shared_adjoint_scratch {
  C* to_block_end = nullptr;       // [token]: product of the gates after it in its block
  C* between = nullptr;            // [block]: product of the blocks between a block and the key's
  C* keys_transposed = nullptr;    // [rows][token of whole blocks]
  C* values_transposed = nullptr;  // [value_pitch][token of whole blocks]
  C* d_o_transposed = nullptr;     // [value_pitch][token of whole blocks]
  C* columns = nullptr;            // [rows][token of whole blocks]
  C *scores = nullptr, *d_scores = nullptr;  // [t][s]: q.k and do.v of a block's keys, then P, M
  C* of_state_in = nullptr;                  // [token]: q_t . S_in do_t
  C* of_state_out = nullptr;                 // [token]: x_s, k_s . G v_s at first
  C* gate_sums = nullptr;                    // [token][lanes]: da, its lanes still to be added up

  shared_adjoint_scratch() = default;
  shared_adjoint_scratch(arena& scratch, const matrix_shape& n, index_t tokens) {
    const index_t blocks = blocks_of(tokens), whole = blocks * block_tokens;
    to_block_end = scratch.take<C>(whole), between = scratch.take<C>(blocks);
    keys_transposed = scratch.take<C>(whole * n.rows);
    values_transposed = scratch.take<C>(whole * n.value_pitch);
    d_o_transposed = scratch.take<C>(whole * n.value_pitch);
    columns = scratch.take<C>(whole * n.rows);
    scores = scratch.take<C>(whole * block_tokens);
    d_scores = scratch.take<C>(whole * block_tokens);
    of_state_in = scratch.take<C>(whole), of_state_out = scratch.take<C>(whole);
    gate_sums = scratch.take<C>(whole * simd::lanes<C>);
  }
};

// Rows of N tokens: dots = x . y, then x *= factor.
template <std::size_t N, class C>
GATESCAN_INLINE void dot_and_scale(index_t rows, C* x, const C* y, const C* factor, C* dots) {
  using P = simd::pack<C>;
  P sums[N];
#pragma GCC unroll 16
  for (P& sum : sums) sum = P(0);
  for (index_t i = 0; i < rows; i += simd::lanes<C>)
#pragma GCC unroll 16
    for (index_t t = 0; t < index_t{N}; ++t) {
      const P z = simd::load(x + t * rows + i);
      sums[t] = simd::fma(z, simd::load(y + t * rows + i), sums[t]);
      simd::store(x + t * rows + i, P(factor[t]) * z);
    }
  simd::sum_each(sums, dots);
}

// to[token][rows] = factor[token] sum_j state[rows][j] x[token][j], and dots[token] = what that
// was before the factor, times y[token].
template <class C>
void contract_state_shared(const matrix_shape& n, index_t tokens, const C* state,
                           const C* x_transposed, C* columns, const C* factor, const C* y, C* to,
                           C* dots, prefetching ahead) {
  contract_state(n, tokens, state, x_transposed, columns, to, ahead);
  constexpr index_t together = simd::lanes<C>;
  index_t t = 0;
  for (; t + together <= tokens; t += together)
    dot_and_scale<static_cast<std::size_t>(together)>(n.rows, to + t * n.rows, y + t * n.rows,
                                                      factor + t, dots + t);
  for (; t < tokens; ++t)
    dot_and_scale<1>(n.rows, to + t * n.rows, y + t * n.rows, factor + t, dots + t);
}

// The pairs of a block's queries with a block's keys, its own or earlier ones: q.k becomes P, do.v
// becomes M, x goes on to the block's first query, and the block's gates get their sums. `after` is
// the gate of the next block's first token, `between` the product of the blocks between.
template <bool Own, class C>
void decay_pairs(index_t count, const C* gate, C after, const C* to_block_end, C between, C* x,
                 C* scores, C* d_scores, C* gate_sums) {
  using P = simd::pack<C>;
  constexpr index_t side = block_tokens, width = simd::lanes<C>;
  static constexpr C unit_rows[2 * side] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  for (index_t s = 0; s < side; s += width) {
    P decay[side + 1];
    decay[0] = Own ? P(0) : P(between) * simd::load(to_block_end + s);
    for (index_t t = 0; t < count; ++t)
      decay[t + 1] = Own ? simd::fma(P(gate[t]), decay[t], simd::load(unit_rows + side - t + s))
                         : P(gate[t]) * decay[t];
    P later = simd::load(x + s), a(after);
    for (index_t t = count - 1; t >= 0; --t) {
      C *p = scores + t * side + s, *m = d_scores + t * side + s, *sum = gate_sums + t * width;
      const P qk = simd::load(p), dv = simd::load(m);
      later = simd::fma(a, later, qk * dv);
      a = P(gate[t]);
      simd::store(sum, simd::fma(decay[t], later, simd::load(sum)));
      simd::store(p, qk * decay[t + 1]);
      simd::store(m, dv * decay[t + 1]);
    }
    simd::store(x + s, later);
  }
}

// Zeros after the last token.
template <class C>
void decays_to_block_ends(const shared_gates<C>& gates, index_t tokens, C* to) {
  for (index_t b = 0; b < blocks_of(tokens); ++b) {
    const index_t first = b * block_tokens, count = tokens_in_block(tokens, b);
    C decay(1);
    for (index_t t = first + count - 1; t >= first; --t) {
      to[t] = decay;
      decay *= gates.gate[t];
    }
    fill(to + first + count, block_tokens - count, C(0));
  }
}

// to[s] += sum_t scores[t][s] x[t] over the queries from a block's first on. What is not finite
// must not come from queries before s, not even times 0.
template <class C>
void add_from_queries(index_t keys, index_t queries, index_t pitch, const C* scores, const C* x,
                      C* to) {
  constexpr index_t side = block_tokens;
  simd::add_upper_product<C>(keys, pitch, simd::by_columns<C>(scores, side), {x, pitch},
                             {to, pitch});
  if (queries > side)
    simd::add_product<C>(keys, pitch, queries - side,
                         simd::by_columns<C>(scores + side * side, side), {x + side * pitch, pitch},
                         {to, pitch});
}

// da[token], in whole registers: what the pairs with S_in give the gates, x = S_in . G at first,
// and what all others have given.
template <class C>
void gate_gradients(index_t tokens, const shared_gates<C>& gates, C x,
                    const shared_adjoint_scratch<C>& s, C* da) {
  C after(1);
  for (index_t t = tokens - 1; t >= 0; --t) {
    x = after * x + s.of_state_in[t];
    after = gates.gate[t];
    const C before = t > 0 ? gates.from_start[t - 1] : C(1);
    da[t] = before * x + simd::sum(simd::load(s.gate_sums + t * simd::lanes<C>));
  }
  fill(da + tokens, padded<C>(tokens) - tokens, C(0));
}

template <class C>
C dot_of_states(const matrix_shape& n, const C* a, const C* b) {
  using P = simd::pack<C>;
  constexpr index_t width = simd::lanes<C>;
  P sums[2] = {P(0), P(0)};
  for (index_t i = 0; i < n.rows; ++i) {
    const C *x = a + i * n.state_pitch, *y = b + i * n.state_pitch;
    index_t j = 0;
    for (; j + 2 * width <= n.value_pitch; j += 2 * width) {
      sums[0] = simd::fma(simd::load(x + j), simd::load(y + j), sums[0]);
      sums[1] = simd::fma(simd::load(x + j + width), simd::load(y + j + width), sums[1]);
    }
    if (j < n.value_pitch) sums[0] = simd::fma(simd::load(x + j), simd::load(y + j), sums[0]);
  }
  return simd::sum(sums[0] + sums[1]);
}

/// g_in from g_out; false where it is not finite. Uses gates.from_start and w's product.
template <class C>
bool incoming_gradient_shared(const matrix_tiles<C>& x, const shared_gates<C>& gates,
                              index_t tokens, const C* d_o, const C* g_out, C* g_in,
                              const chunk_scratch<C>& w, prefetching ahead) {
  const matrix_shape& n = x.n;
  decay_rows(n, tokens, d_o, gates.from_start, gates.v_decayed);
  simd::pack<C> watch(0);
  simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
    watch += carry_panel<false>(registers, j, n, tokens, x.q, gates.v_decayed, g_out, g_in,
                                w.gates(), ahead);
  });
  return state_finite(watch, static_cast<const C*>(g_in), n);
}

// Queries with S_in and keys with S_out: their dq, dk and dv, q_t . S_in do_t and k_s . G v_s.
// Leaves keys and values transposed.
template <class C>
void pairs_with_states(const matrix_tiles<C>& x, index_t tokens, const shared_gates<C>& gates,
                       const C* state_in, const C* g, const matrix_gradients<C>& d,
                       const shared_adjoint_scratch<C>& s, prefetching ahead) {
  const matrix_shape& n = x.n;
  const index_t kp = n.rows, vp = n.value_pitch, whole = blocks_of(tokens) * block_tokens;
  transpose_tokens(tokens, kp, static_cast<const C*>(x.k), s.keys_transposed);
  transpose_tokens(tokens, vp, static_cast<const C*>(x.v), s.values_transposed);
  transpose_tokens(tokens, vp, static_cast<const C*>(d.d_o), s.d_o_transposed);
  contract_state_shared<C>(n, tokens, state_in, s.d_o_transposed, s.columns, gates.from_start, x.q,
                           d.dq, s.of_state_in, ahead);
  contract_state_shared<C>(n, tokens, g, s.values_transposed, s.columns, gates.to_end, x.k, d.dk,
                           s.of_state_out, ahead);
  fill(s.of_state_out + tokens, whole - tokens, C(0));
  simd::for_each_panel<C>(vp, [&](index_t j, index_t registers) {
    simd::product_of_panel<C>(
        registers, tokens, kp, simd::by_columns<C>(s.keys_transposed, whole),
        {g + j, n.state_pitch}, {d.dv + j, vp},
        [e = gates.to_end](index_t t, index_t, simd::pack<C> sum) {
          return simd::pack<C>(e[t]) * sum;
        },
        ahead);
  });
}

// The keys of block b with every query from the block's first on.
template <class C>
void pairs_of_keys(const matrix_tiles<C>& x, index_t tokens, index_t b,
                   const shared_gates<C>& gates, const matrix_gradients<C>& d,
                   const shared_adjoint_scratch<C>& s) {
  constexpr index_t side = block_tokens;
  const index_t blocks = blocks_of(tokens), kp = x.n.rows, vp = x.n.value_pitch;
  const index_t from = b * side, keys = tokens_in_block(tokens, b), queries = tokens - from;
  const C *q = x.q + from * kp, *d_o = d.d_o + from * vp;
  simd::set_product<C>(queries, side, kp, simd::by_rows<C>(q, kp),
                       {s.keys_transposed + from, blocks * side}, {s.scores, side});
  simd::set_product<C>(queries, side, vp, simd::by_rows<C>(d_o, vp),
                       {s.values_transposed + from, blocks * side}, {s.d_scores, side});
  C product(1);
  for (index_t r = b + 1; r < blocks; ++r) {
    s.between[r] = product;
    product *= s.to_block_end[r * side] * gates.gate[r * side];
  }
  const auto decay = [&]<bool Own>(index_t r, C between) {
    const index_t first = r * side;
    const C after = r + 1 < blocks ? gates.gate[first + side] : C(1);
    decay_pairs<Own>(tokens_in_block(tokens, r), gates.gate + first, after, s.to_block_end + from,
                     between, s.of_state_out + from, s.scores + (first - from) * side,
                     s.d_scores + (first - from) * side, s.gate_sums + first * simd::lanes<C>);
  };
  for (index_t r = blocks - 1; r > b; --r) decay.template operator()<false>(r, s.between[r]);
  decay.template operator()<true>(b, C(1));
  add_from_queries(keys, queries, vp, s.scores, d_o, d.dv + from * vp);
  add_from_queries(keys, queries, kp, s.d_scores, q, d.dk + from * kp);
  simd::add_product<C>(queries, kp, keys, simd::by_rows<C>(s.d_scores, side), {x.k + from * kp, kp},
                       {d.dq + from * kp, kp});
}

/// As chunk_backward, with x.q, x.k and x.v as they were read; d.da has one number a token, and x.a
/// is room for the fallback.
template <class C>
void chunk_backward_shared(const matrix_tiles<C>& x, const shared_gates<C>& gates, index_t tokens,
                           const C* state_in, C*& g, const matrix_gradients<C>& d,
                           const chunk_scratch<C>& w, chunk_adjoint_scratch<C>& fallback,
                           const shared_adjoint_scratch<C>& s, prefetcher& memory) {
  const matrix_shape& n = x.n;
  const index_t blocks = blocks_of(tokens), kp = n.rows, vp = n.value_pitch;
  const prefetching ahead{&memory};
  memory.begin(products_backward<C>(n, blocks));
  std::swap(g, fallback.spare_g);
  const C* g_out = fallback.spare_g;
  decays_from_start(gates, tokens);
  decays_to_end(gates, tokens);
  decays_to_block_ends(gates, tokens, s.to_block_end);
  set_products(n, gates, gates.from_start[tokens - 1], w);
  pairs_with_states(x, tokens, gates, state_in, g_out, d, s, ahead);
  fill(s.gate_sums, tokens * simd::lanes<C>, C(0));
  for (index_t b = 0; b < blocks; ++b) pairs_of_keys(x, tokens, b, gates, d, s);
  gate_gradients(tokens, gates, dot_of_states(n, state_in, g_out), s, d.da);
  const bool finite = incoming_gradient_shared(x, gates, tokens, d.d_o, g_out, g, w, ahead);
  if (finite && all_finite(d.dq, tokens, kp, kp) && all_finite(d.dk, tokens, kp, kp) &&
      all_finite(d.da, 1, padded<C>(tokens), 0) && all_finite(d.dv, tokens, vp, vp))
    return;
  spread_gates(x, gates, tokens);
  take_steps_backward<false>(x, tokens, state_in, d.d_o, fallback);
  for (index_t t = 0; t < tokens; ++t) {
    const C* da = fallback.spare.da + t * kp;
    C sum(0);
    for (index_t i = 0; i < n.keys; ++i) sum += da[i];
    replace_non_finite(d.da + t, &sum, 1);
  }
  replace_non_finite_gradients(n, tokens, fallback, d, g);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
