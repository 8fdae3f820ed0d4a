#pragma once
// Matrix states whose keys share one real gate a token (RetNet, Mamba-2, simple GLA), a chunk at a
// time. Decays are numbers, so queries and keys go into the products as they are.
//
//   P_ts  = (q_t . k_s) prod_{s<j<=t} a_j
//   o_t   = sum_{s<=t} P_ts v_s + (prod_{j<=t} a_j) S_in^T q_t
//   S_out = (prod of all gates) S_in + sum_s k_s ((prod_{j>s} a_j) v_s)^T

#include "chunk.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct shared_gates {
  C* gate = nullptr;        // [token]
  C* from_start = nullptr;  // [token]: product of the chunk's gates up to the token's
  C* to_end = nullptr;      // [token]: of those after it
  C* v_decayed = nullptr;   // [token][value_pitch]: v to_end
  C high = 1, low = 0;      // the product of all gates, where their logarithms tell it exactly
  bool has_product = false;

  shared_gates() = default;
  shared_gates(arena& scratch, const matrix_shape& n, index_t tokens) {
    gate = scratch.take<C>(tokens), from_start = scratch.take<C>(tokens);
    to_end = scratch.take<C>(tokens);
    v_decayed = scratch.take<C>(tokens * n.value_pitch);
  }
  void set_product(double log) {
    const double exact = std::exp(log);
    high = static_cast<C>(exact);
    low = static_cast<C>(exact - static_cast<double>(high));
    has_product = true;
  }
};

// rows of values times a factor a token
template <class C>
void decay_rows(const matrix_shape& n, index_t tokens, const C* from, const C* factor, C* to) {
  for (index_t t = 0; t < tokens; ++t)
    for (index_t j = 0; j < n.value_pitch; j += simd::lanes<C>)
      simd::store(to + t * n.value_pitch + j,
                  simd::pack<C>(factor[t]) * simd::load(from + t * n.value_pitch + j));
}
// w's product for every key; `product` is that of the gates as they stand.
template <class C>
void set_products(const matrix_shape& n, const shared_gates<C>& gates, C product,
                  const chunk_scratch<C>& w) {
  fill(w.product, n.rows, gates.has_product ? gates.high : product);
  fill(w.product_low, n.rows, gates.has_product ? gates.low : C(0));
}
template <class C>
void decays_from_start(const shared_gates<C>& gates, index_t tokens) {
  C decay(1);
  for (index_t t = 0; t < tokens; ++t) gates.from_start[t] = decay *= gates.gate[t];
}
// x.a, for the token by token form
template <class C>
void spread_gates(const matrix_tiles<C>& x, const shared_gates<C>& gates, index_t tokens) {
  for (index_t t = 0; t < tokens; ++t) fill(x.a + t * x.n.rows, x.n.rows, gates.gate[t]);
}
// Returns the product of all gates.
template <class C>
C decays_to_end(const shared_gates<C>& gates, index_t tokens) {
  C decay(1);
  for (index_t t = tokens - 1; t >= 0; --t) {
    gates.to_end[t] = decay;
    decay *= gates.gate[t];
  }
  return decay;
}

/// As chunk_forward, with x.q, x.k and x.v as they were read; x.a is room for the fallback.
template <class C>
void chunk_forward_shared(const matrix_tiles<C>& x, shared_gates<C> gates, index_t tokens,
                          const C* state_in, C* state_out, const chunk_scratch<C>& w,
                          prefetcher& memory) {
  using P = simd::pack<C>;
  const matrix_shape& n = x.n;
  const index_t blocks = blocks_of(tokens);
  const prefetching ahead{&memory};
  memory.begin(blocks + panels_of<C>(n) * (simd::row_blocks(tokens) + simd::row_blocks(n.rows)));
  constexpr index_t side = block_tokens;
  C before(1);  // product of the blocks before
  for (index_t r = 0; r < blocks; ++r) {
    const index_t first = r * side, count = tokens_in_block(tokens, r);
    const C *q = x.q + first * n.rows, *a = gates.gate + first;
    C *o = x.o + first * n.value_pitch, *scores = w.scores_of(r);
    C inside[static_cast<std::size_t>(side)];  // products from the block's first token on
    C total(1);
    for (index_t t = 0; t < count; ++t) {
      inside[t] = total *= a[t];
      gates.from_start[first + t] = before * total;
    }
    for (index_t t = 0; t < count; t += quad_tokens) {
      const index_t rows = (std::min)(quad_tokens, count - t);
      simd::dot_products<C>(rows, t + rows, n.rows, {q + t * n.rows, n.rows},
                            {x.k + first * n.rows, n.rows}, {scores + t, side});
    }
    for (index_t s = 0; s < count; ++s) {
      C decay(1);
      for (index_t t = s + 1; t < count; ++t) scores[s * side + t] *= decay *= a[t];
      gates.to_end[first + s] = decay;
    }
    const auto by_columns = [](const C* from) { return simd::by_columns<C>(from, side); };
    simd::set_lower_product<C>(count, n.value_pitch, by_columns(scores),
                               {x.v + first * n.value_pitch, n.value_pitch}, {o, n.value_pitch});
    for (index_t b = 0; b < r; ++b) {
      const index_t from = b * side;
      simd::dot_products<C>(count, side, n.rows, {q, n.rows}, {x.k + from * n.rows, n.rows},
                            {w.across, side});
      for (index_t s = 0; s < side; ++s)
        for (index_t t = 0; t < count; ++t)
          w.across[s * side + t] *= gates.to_end[from + s] * inside[t];
      simd::add_product<C>(count, n.value_pitch, side, by_columns(w.across),
                           {x.v + from * n.value_pitch, n.value_pitch}, {o, n.value_pitch});
    }
    for (index_t s = 0; s < first; ++s) gates.to_end[s] *= total;
    before *= total;
    ahead();
  }
  set_products(n, gates, before, w);
  decay_rows(n, tokens, static_cast<const C*>(x.v), gates.to_end, gates.v_decayed);

  const auto queries = left_of_products(static_cast<const C*>(x.q), tokens, n, w.q_transposed);
  P watch(0);
  simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
    watch += simd::product_of_panel<C>(
        registers, tokens, n.rows, queries, {state_in + j, n.state_pitch}, {x.o + j, n.value_pitch},
        [o = x.o + j, decay = gates.from_start, pitch = n.value_pitch](index_t t, index_t c,
                                                                       P sum) {
          return simd::fma(P(decay[t]), sum, simd::load(o + t * pitch + c));
        },
        ahead);
    watch += carry_panel<false>(registers, j, n, tokens, x.k, gates.v_decayed, state_in, state_out,
                                w.gates(), ahead);
  });

  if (state_finite(watch, state_out, n)) return;
  spread_gates(x, gates, tokens);
  take_steps_where_not_finite<false>(x, tokens, state_in, state_out, w, [](C*) {});
}

/// S_out only. The same fallback.
template <class C>
void chunk_advance_shared(const matrix_tiles<C>& x, const shared_gates<C>& gates, index_t tokens,
                          const C* state_in, C* state_out, const chunk_scratch<C>& w,
                          prefetcher& memory) {
  const matrix_shape& n = x.n;
  memory.begin(panels_of<C>(n) * simd::row_blocks(n.rows));
  set_products(n, gates, decays_to_end(gates, tokens), w);
  decay_rows(n, tokens, static_cast<const C*>(x.v), gates.to_end, gates.v_decayed);
  simd::pack<C> watch(0);
  simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
    watch += carry_panel<false>(registers, j, n, tokens, x.k, gates.v_decayed, state_in, state_out,
                                w.gates(), prefetching{&memory});
  });
  if (state_finite(watch, state_out, n)) return;
  spread_gates(x, gates, tokens);
  take_state_where_not_finite<false>(x, tokens, state_in, state_out, w);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
