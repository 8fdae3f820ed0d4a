#pragma once
// Matrix states, a chunk at a time: surrogate attention inside the chunk, by blocks, without a
// division.
//
//   q^_t = q_t prod(gates from the block's first token to t)      k^_t = k_t prod(gates from t + 1
//   to the block's end) P_ts = Re sum_i q^_t[i] (prod of the blocks between)[i] k^_s[i]   across
//   blocks: a matrix product P_ts = Re sum_i q_t[i] k_s[i] prod_{j=s+1..t} a_j[i] inside a block:
//   running products o_t  = sum_{s<=t} P_ts v_s + Re (q^_t prod of earlier blocks)^T S_in S_out =
//   (prod of all gates) S_in + sum_s (k^_s prod of later blocks) v_s^T

#include "steps.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct chunk_scratch {
  C* q_decayed = nullptr;  // conj(q^), decayed further block by block; conjugated so that products
                           // take the real part
  C* k_decayed = nullptr;  // k^
  C* k_transposed = nullptr;                     // [block][rows][block_tokens]
  C* totals = nullptr;                           // [block][rows]: product of the block's gates
  C* scores = nullptr;                           // [block_tokens][block_tokens]
  C *spare_state = nullptr, *spare_o = nullptr;  // for the token by token fallback

  chunk_scratch() = default;
  chunk_scratch(arena& scratch, const matrix_shape& n, index_t tokens) {
    const index_t blocks = (tokens + block_tokens - 1) / block_tokens;
    q_decayed = scratch.take<C>(tokens * n.rows);
    k_decayed = scratch.take<C>(tokens * n.rows);
    k_transposed = scratch.take<C>(blocks * n.rows * block_tokens);
    totals = scratch.take<C>(blocks * n.rows);
    scores = scratch.take<C>(block_tokens * block_tokens);
    spare_state = scratch.take<C>(n.state_size());
    spare_o = scratch.take<C>(tokens * n.value_pitch);
  }
};

inline index_t blocks_of(index_t tokens) { return (tokens + block_tokens - 1) / block_tokens; }
inline index_t tokens_in_block(index_t tokens, index_t block) {
  const index_t rest = tokens - block * block_tokens;
  return rest < block_tokens ? rest : block_tokens;
}

// Products of gates inside every block: q^ (conjugated), k^ and the block's total.
template <bool Complex, class C>
void decay_keys(const matrix_tiles<C>& x, index_t tokens, chunk_scratch<C>& w,
                bool with_queries = true) {
  const matrix_shape& n = x.n;
  for (index_t b = 0; b < blocks_of(tokens); ++b) {
    const index_t first = b * block_tokens, count = tokens_in_block(tokens, b);
    for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) {
      auto product = constant<Complex>(C(1));
      if (with_queries) {
        for (index_t t = first; t < first + count; ++t) {
          product = product * load_keys<Complex>(x.a + t * n.rows, i, n.key_pitch);
          const auto q = load_keys<Complex>(x.q + t * n.rows, i, n.key_pitch);
          store_keys<Complex>(w.q_decayed + t * n.rows, i, n.key_pitch, conj(q * product));
        }
        product = constant<Complex>(C(1));
      }
      for (index_t t = first + count - 1; t >= first; --t) {
        const auto k = load_keys<Complex>(x.k + t * n.rows, i, n.key_pitch);
        store_keys<Complex>(w.k_decayed + t * n.rows, i, n.key_pitch, k * product);
        product = product * load_keys<Complex>(x.a + t * n.rows, i, n.key_pitch);
      }
      store_keys<Complex>(w.totals + b * n.rows, i, n.key_pitch, product);
    }
  }
}

// scores[t][s], s <= t, of the block that begins at token `first`
template <bool Complex, class C>
void block_scores(const matrix_tiles<C>& x, index_t first, index_t count, C* scores) {
  using P = simd::pack<C>;
  const matrix_shape& n = x.n;
  for (index_t s = 0; s < count; ++s) {
    P sums[block_tokens];
    for (index_t t = s; t < count; ++t) sums[t] = P(0);
    for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) {
      auto w = load_keys<Complex>(x.k + (first + s) * n.rows, i, n.key_pitch);
      for (index_t t = s;;) {
        sums[t] = add_real_product(
            w, load_keys<Complex>(x.q + (first + t) * n.rows, i, n.key_pitch), sums[t]);
        if (++t == count) break;
        w = w * load_keys<Complex>(x.a + (first + t) * n.rows, i, n.key_pitch);
      }
    }
    for (index_t t = s; t < count; ++t) scores[t * block_tokens + s] = simd::sum(sums[t]);
  }
}

// rows *= factor (conjugated if asked), row by row of keys
template <bool Complex, class C>
void scale_keys(C* rows, index_t count, const matrix_shape& n, const C* factor, bool conjugate) {
  for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) {
    auto f = load_keys<Complex>(factor, i, n.key_pitch);
    if (conjugate) f = conj(f);
    for (index_t t = 0; t < count; ++t)
      store_keys<Complex>(rows + t * n.rows, i, n.key_pitch,
                          load_keys<Complex>(rows + t * n.rows, i, n.key_pitch) * f);
  }
}

// to = diag(factor) from, factor one a row (conjugated if asked)
template <bool Complex, class C>
void scale_state(C* to, const C* from, const matrix_shape& n, const C* factor, bool conjugate) {
  using P = simd::pack<C>;
  for (index_t i = 0; i < n.key_pitch; ++i) {
    const index_t re = i * n.value_pitch, im = (n.key_pitch + i) * n.value_pitch;
    for (index_t j = 0; j < n.value_pitch; j += simd::lanes<C>) {
      if constexpr (Complex) {
        const C f_im = factor[n.key_pitch + i];
        const cplx<P> f{P(factor[i]), P(conjugate ? -f_im : f_im)};
        const cplx<P> s = f * cplx<P>{simd::load(from + re + j), simd::load(from + im + j)};
        simd::store(to + re + j, s.re);
        simd::store(to + im + j, s.im);
      } else {
        simd::store(to + re + j, P(factor[i]) * simd::load(from + re + j));
      }
    }
  }
}

template <bool Complex, class C>
void steps_forward(const matrix_tiles<C>& x, index_t tokens, C* state) {
  for (index_t t = 0; t < tokens; ++t) step_token<Complex>(x, t, state);
}

// S_out from k^ and the totals (decay_keys has run). k^ is used up where there is more than one
// block.
template <bool Complex, class C>
void chunk_state(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C* state_out,
                 chunk_scratch<C>& w) {
  const matrix_shape& n = x.n;
  for (index_t b = blocks_of(tokens) - 2; b >= 0;
       --b) {  // k^ decays to the chunk's end, the totals become the chunk's
    C* later = w.totals + (b + 1) * n.rows;
    scale_keys<Complex>(w.k_decayed + b * block_tokens * n.rows, tokens_in_block(tokens, b), n,
                        later, false);
    scale_keys<Complex>(w.totals + b * n.rows, 1, n, later, false);
  }
  scale_state<Complex>(state_out, state_in, n, w.totals, false);
  simd::add_product<C>(n.rows, n.value_pitch, tokens, {w.k_decayed, 1, n.rows},
                       {x.v, n.value_pitch}, {state_out, n.value_pitch});
}

/// o of every token and S_out from S_in. Results that are not finite are taken from the token by
/// token form: there a reset is exact, and nothing overflows that the definition does not overflow.
template <bool Complex, class C>
void chunk_forward(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C* state_out,
                   chunk_scratch<C>& w) {
  const matrix_shape& n = x.n;
  const index_t blocks = blocks_of(tokens);
  decay_keys<Complex>(x, tokens, w);
  for (index_t i = 0; i < tokens * n.value_pitch; ++i) x.o[i] = 0;
  for (index_t r = 0; r < blocks; ++r) {
    const index_t first = r * block_tokens, count = tokens_in_block(tokens, r);
    C *o = x.o + first * n.value_pitch, *q = w.q_decayed + first * n.rows;
    block_scores<Complex>(x, first, count, w.scores);
    simd::add_lower_product<C>(count, n.value_pitch, {w.scores, block_tokens, 1},
                               {x.v + first * n.value_pitch, n.value_pitch}, {o, n.value_pitch});
    for (index_t b = r - 1; b >= 0; --b) {
      for (int i = 0; i < block_tokens * block_tokens; ++i) w.scores[i] = 0;
      simd::add_product<C>(count, block_tokens, n.rows, {q, n.rows, 1},
                           {w.k_transposed + b * n.rows * block_tokens, block_tokens},
                           {w.scores, block_tokens});
      simd::add_product<C>(count, n.value_pitch, block_tokens, {w.scores, block_tokens, 1},
                           {x.v + b * block_tokens * n.value_pitch, n.value_pitch},
                           {o, n.value_pitch});
      scale_keys<Complex>(q, count, n, w.totals + b * n.rows, true);
    }
    simd::add_product<C>(count, n.value_pitch, n.rows, {q, n.rows, 1}, {state_in, n.value_pitch},
                         {o, n.value_pitch});
    if (r + 1 < blocks)
      simd::transpose<C>(count, n.rows, {w.k_decayed + first * n.rows, n.rows},
                         {w.k_transposed + r * n.rows * block_tokens, block_tokens});
  }
  chunk_state<Complex>(x, tokens, state_in, state_out, w);

  if (all_finite(x.o, tokens, n.value_pitch, n.value_pitch) &&
      all_finite(state_out, n.rows, n.value_pitch, n.value_pitch))
    return;
  matrix_tiles<C> exact = x;
  exact.o = w.spare_o;
  for (index_t i = 0; i < n.state_size(); ++i) w.spare_state[i] = state_in[i];
  steps_forward<Complex>(exact, tokens, w.spare_state);
  replace_non_finite(x.o, exact.o, tokens * n.value_pitch);
  replace_non_finite(state_out, w.spare_state, n.state_size());
}

/// S_out only. The same fallback.
template <bool Complex, class C>
void chunk_advance(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C* state_out,
                   chunk_scratch<C>& w) {
  const matrix_shape& n = x.n;
  decay_keys<Complex>(x, tokens, w, false);
  chunk_state<Complex>(x, tokens, state_in, state_out, w);
  if (all_finite(state_out, n.rows, n.value_pitch, n.value_pitch)) return;
  matrix_tiles<C> exact = x;
  exact.o = w.spare_o;
  for (index_t i = 0; i < n.state_size(); ++i) w.spare_state[i] = state_in[i];
  steps_forward<Complex>(exact, tokens, w.spare_state);
  replace_non_finite(state_out, w.spare_state, n.state_size());
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
