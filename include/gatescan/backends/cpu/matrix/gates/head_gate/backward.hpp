#pragma once
// Matrix states whose keys have one real gate a token, backward a chunk at a time. With
//
//   D(t,s) = prod_{s<j<=t} a_j,  M_ts = (do_t . v_s) D(t,s),  P_ts = (q_t . k_s) D(t,s),  s <= t
//   b_t    = prod_{j<=t} a_j,    e_s  = prod_{j>s} a_j,       G[K, V] the gradient of S_out
//
//   dq_t[K] = sum_{s<=t} M_ts k_s  + b_t S_in[K, V] do_t[V]
//   dk_s[K] = sum_{t>=s} M_ts q_t  + e_s G v_s
//   dv_s[V] = sum_{t>=s} P_ts do_t + e_s G^T k_s
//   G_in    = (prod of all gates) G + sum_t q_t (b_t do_t)^T
//
// A pair E_ts = (do_t . v_s) (q_t . k_s) goes through the gates s < j <= t. S_in is one more key
// (E = q_t . S_in do_t), S_out one more query (E = k_s . G v_s). Nothing is divided:
//
//   x_s(j) = sum_{t>=j} E_ts D(t,j) = E_js + a_{j+1} x_s(j+1)     what later queries see of key s
//   da_j   = sum_{s<j} D(j-1,s) x_s(j)

#include <utility>

#include "../key_gate/backward.hpp"
#include "forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

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

// The same of all tokens' rows: dots[token] = x . y, then x *= factor[token].
template <class C>
void dot_and_scale_rows(index_t rows, index_t tokens, C* x, const C* y, const C* factor, C* dots) {
  constexpr index_t together = simd::lanes<C>;
  index_t t = 0;
  for (; t + together <= tokens; t += together)
    dot_and_scale<static_cast<std::size_t>(together)>(rows, x + t * rows, y + t * rows, factor + t,
                                                      dots + t);
  for (; t < tokens; ++t) dot_and_scale<1>(rows, x + t * rows, y + t * rows, factor + t, dots + t);
}

// to[s] += sum_t scores[t][s] x[t] over the queries from a subchunk's first on. What is not finite
// must not come from queries before s, not even times 0.
template <class C>
void add_from_queries(index_t keys, index_t queries, index_t pitch, const C* scores, const C* x,
                      C* to) {
  constexpr index_t side = subchunk_tokens;
  simd::add_upper_product<C>(keys, pitch, simd::by_columns<C>(scores, side), {x, pitch},
                             {to, pitch});
  if (queries > side)
    simd::add_product<C>(keys, pitch, queries - side,
                         simd::by_columns<C>(scores + side * side, side), {x + side * pitch, pitch},
                         {to, pitch});
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

template <class C>
class head_gate_adjoint {
 public:
  head_gate_adjoint() = default;
  /// Works in the scratch of `forward`, too.
  head_gate_adjoint(arena& scratch, const matrix_shape& n, index_t tokens,
                    const head_gate<C>& forward)
      : decays_(forward.decays()), exact_(scratch, n, tokens) {
    const index_t subchunks = subchunks_of(tokens), whole = subchunks * subchunk_tokens;
    to_subchunk_end_ = scratch.take<C>(whole), between_ = scratch.take<C>(subchunks);
    keys_transposed_ = scratch.take<C>(whole * n.rows);
    values_transposed_ = scratch.take<C>(whole * n.value_pitch);
    d_o_transposed_ = scratch.take<C>(whole * n.value_pitch);
    columns_ = scratch.take<C>(whole * n.rows);
    scores_ = scratch.take<C>(whole * subchunk_tokens);
    d_scores_ = scratch.take<C>(whole * subchunk_tokens);
    of_state_in_ = scratch.take<C>(whole), of_state_out_ = scratch.take<C>(whole);
    gate_sums_ = scratch.take<C>(whole * simd::lanes<C>);
    spare_g_ = scratch.take<C>(n.state_size());
  }

  /// d.da has one number a token.
  C* backward(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g) {
    C* const g_in = std::exchange(spare_g_, g);
    with_exact_fallback([&] { return in_products(c, d, g, g_in); },
                        [&] {
                          spread_gates(c.x, c.tokens);
                          const C* da = exact_.backward(c, d, g, g_in);
                          for (index_t t = 0; t < c.tokens; ++t, da += c.x.n.rows) {
                            C sum(0);
                            for (index_t i = 0; i < c.x.n.keys; ++i) sum += da[i];
                            replace_non_finite(d.da + t, &sum, 1);
                          }
                        });
    return g_in;
  }
  void retreat(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g, C* g_in) const {
    decays_.set_from_start(c.x, c.tokens);
    decays_.set_gates(c.x, decays_.from_start[c.tokens - 1]);
    incoming_gradient(c, d.d_o, g, g_in);
  }

 private:
  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_shape& n = c.x.n;
    const index_t subchunks = subchunks_of(c.tokens), kp = n.rows, vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    decays_.set_from_start(c.x, c.tokens);
    decays_.set_to_end(c.x, c.tokens);
    set_to_subchunk_ends(c.x, c.tokens);
    decays_.set_gates(c.x, decays_.from_start[c.tokens - 1]);
    pairs_with_states(c, d, g);
    fill(gate_sums_, c.tokens * simd::lanes<C>, C(0));
    for (index_t b = 0; b < subchunks; ++b) pairs_of_keys(c, d, b);
    gate_gradients(c, dot_of_states(n, c.state_in, g), d.da);
    const bool finite = incoming_gradient(c, d.d_o, g, g_in);
    return finite && all_finite(d.dq, c.tokens, kp, kp) && all_finite(d.dk, c.tokens, kp, kp) &&
           all_finite(d.da, 1, padded<C>(c.tokens), 0) && all_finite(d.dv, c.tokens, vp, vp);
  }

  // Zeros after the last token.
  void set_to_subchunk_ends(const matrix_tiles<C>& x, index_t tokens) const {
    C* const to = to_subchunk_end_;
    for (index_t b = 0; b < subchunks_of(tokens); ++b) {
      const index_t first = b * subchunk_tokens, count = tokens_in_subchunk(tokens, b);
      C decay(1);
      for (index_t t = first + count - 1; t >= first; --t) {
        to[t] = decay;
        decay *= x.head_gate[t];
      }
      fill(to + first + count, subchunk_tokens - count, C(0));
    }
  }

  // Queries with S_in and keys with S_out: their dq, dk and dv, q_t . S_in do_t and k_s . G v_s.
  // Leaves keys and values transposed.
  void pairs_with_states(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g) const {
    const matrix_tiles<C>& x = c.x;
    const matrix_shape& n = x.n;
    const index_t tokens = c.tokens, kp = n.rows, vp = n.value_pitch;
    const index_t whole = subchunks_of(tokens) * subchunk_tokens;
    const prefetching ahead{c.memory};
    transpose_tokens(tokens, kp, static_cast<const C*>(x.k), keys_transposed_);
    transpose_tokens(tokens, vp, static_cast<const C*>(x.v), values_transposed_);
    transpose_tokens(tokens, vp, static_cast<const C*>(d.d_o), d_o_transposed_);
    contract_state(n, tokens, c.state_in, static_cast<const C*>(d_o_transposed_), columns_, d.dq,
                   ahead);
    dot_and_scale_rows(kp, tokens, d.dq, x.q, decays_.from_start, of_state_in_);
    contract_state(n, tokens, g, static_cast<const C*>(values_transposed_), columns_, d.dk, ahead);
    dot_and_scale_rows(kp, tokens, d.dk, x.k, decays_.to_end, of_state_out_);
    fill(of_state_out_ + tokens, whole - tokens, C(0));
    simd::for_each_panel<C>(vp, [&](index_t j, index_t registers) {
      // [tokens, K] x [K, registers]
      simd::product_of_panel<C>(
          registers, tokens, kp, simd::by_columns<C>(keys_transposed_, whole),
          {g + j, n.state_pitch}, {d.dv + j, vp},
          [e = decays_.to_end](index_t t, index_t, simd::pack<C> sum) {
            return simd::pack<C>(e[t]) * sum;
          },
          ahead);
    });
  }

  // The keys of subchunk b with every query from the subchunk's first on.
  void pairs_of_keys(const token_chunk<C>& c, const matrix_gradients<C>& d, index_t b) const {
    constexpr index_t side = subchunk_tokens;
    const matrix_tiles<C>& x = c.x;
    const index_t subchunks = subchunks_of(c.tokens), kp = x.n.rows, vp = x.n.value_pitch;
    const index_t from = b * side, keys = tokens_in_subchunk(c.tokens, b);
    const index_t queries = c.tokens - from;
    const C *q = x.q + from * kp, *d_o = d.d_o + from * vp;
    // [queries, K] x [K, keys] and [queries, V] x [V, keys]
    simd::set_product<C>(queries, side, kp, simd::by_rows<C>(q, kp),
                         {keys_transposed_ + from, subchunks * side}, {scores_, side});
    simd::set_product<C>(queries, side, vp, simd::by_rows<C>(d_o, vp),
                         {values_transposed_ + from, subchunks * side}, {d_scores_, side});
    C product(1);
    for (index_t r = b + 1; r < subchunks; ++r) {
      between_[r] = product;
      product *= to_subchunk_end_[r * side] * x.head_gate[r * side];
    }
    for (index_t r = subchunks - 1; r > b; --r) decay_pairs<false>(c, r, b, between_[r]);
    decay_pairs<true>(c, b, b, C(1));
    // [keys, queries] x [queries, V] and x [queries, K]; [queries, keys] x [keys, K]
    add_from_queries(keys, queries, vp, scores_, d_o, d.dv + from * vp);
    add_from_queries(keys, queries, kp, d_scores_, q, d.dk + from * kp);
    simd::add_product<C>(queries, kp, keys, simd::by_rows<C>(d_scores_, side),
                         {x.k + from * kp, kp}, {d.dq + from * kp, kp});
  }

  // The pairs of subchunk r's queries with subchunk b's keys, its own or earlier ones: q.k becomes
  // P, do.v becomes M, x goes on to the first query, and r's gates get their sums. `between` is the
  // product of the subchunks between.
  template <bool Own>
  void decay_pairs(const token_chunk<C>& c, index_t r, index_t b, C between) const {
    using P = simd::pack<C>;
    constexpr index_t side = subchunk_tokens, width = simd::lanes<C>;
    static constexpr C unit_rows[2 * side] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    const index_t first = r * side, from = b * side, count = tokens_in_subchunk(c.tokens, r);
    const C *const gate = c.x.head_gate + first, *const to_end = to_subchunk_end_ + from;
    const C next = first + side < c.tokens ? c.x.head_gate[first + side] : C(1);
    C *const x = of_state_out_ + from, *const gate_sums = gate_sums_ + first * width;
    C *const scores = scores_ + (first - from) * side, *const d_scores =
                                                           d_scores_ + (first - from) * side;
    for (index_t s = 0; s < side; s += width) {
      P decay[side + 1];
      decay[0] = Own ? P(0) : P(between) * simd::load(to_end + s);
      for (index_t t = 0; t < count; ++t)
        decay[t + 1] = Own ? simd::fma(P(gate[t]), decay[t], simd::load(unit_rows + side - t + s))
                           : P(gate[t]) * decay[t];
      P later = simd::load(x + s), a(next);
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

  // da[token], in whole registers: what the pairs with S_in give the gates, x = S_in . G at first,
  // and what all others have given.
  void gate_gradients(const token_chunk<C>& c, C x, C* da) const {
    C after(1);
    for (index_t t = c.tokens - 1; t >= 0; --t) {
      x = after * x + of_state_in_[t];
      after = c.x.head_gate[t];
      const C before = t > 0 ? decays_.from_start[t - 1] : C(1);
      da[t] = before * x + simd::sum(simd::load(gate_sums_ + t * simd::lanes<C>));
    }
    fill(da + c.tokens, padded<C>(c.tokens) - c.tokens, C(0));
  }

  // g_in from g, after set_from_start and set_gates; false where it is not finite.
  bool incoming_gradient(const token_chunk<C>& c, const C* d_o, const C* g, C* g_in) const {
    const matrix_tiles<C>& x = c.x;
    return state_update<C, false>{x.n,
                                  c.tokens,
                                  x.q,
                                  decays_.decayed(x.n, c.tokens, d_o, decays_.from_start),
                                  decays_.gates(),
                                  g,
                                  g_in}
        .all(prefetching{c.memory});
  }

  head_decays<C> decays_{};
  exact_steps_adjoint<C, false> exact_{};
  C* to_subchunk_end_ = nullptr;    // [token]: product of the gates after it in its subchunk
  C* between_ = nullptr;            // [subchunk]: product of the subchunks between it and the key's
  C* keys_transposed_ = nullptr;    // [rows][token of whole subchunks]
  C* values_transposed_ = nullptr;  // [value_pitch][token of whole subchunks]
  C* d_o_transposed_ = nullptr;     // [value_pitch][token of whole subchunks]
  C* columns_ = nullptr;            // [rows][token of whole subchunks]
  C *scores_ = nullptr,
    *d_scores_ = nullptr;      // [t][s]: q.k and do.v of a subchunk's keys, then P, M
  C* of_state_in_ = nullptr;   // [token]: q_t . S_in do_t
  C* of_state_out_ = nullptr;  // [token]: x_s, k_s . G v_s at first
  C* gate_sums_ = nullptr;     // [token][lanes]: da, its lanes still to be added up
  C* spare_g_ = nullptr;       // where g_in goes next
};
static_assert(summarised_adjoint<head_gate_adjoint<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
