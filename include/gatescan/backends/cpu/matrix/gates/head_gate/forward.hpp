#pragma once
// Matrix states whose keys have one real gate a token (RetNet, Mamba-2, simple GLA), a chunk at a
// time. Decays are numbers, so queries and keys go into the products as they are.
//
//   P_ts = (q_t . k_s) prod_{s<j<=t} a_j
//   o_t[V] = sum_{s<=t} P_ts v_s + (prod_{j<=t} a_j) S_in[K, V]^T q_t[K]
//   S_out[K, V] = (prod of all gates) S_in + sum_s k_s[K] ((prod_{j>s} a_j) v_s[V])^T
//
// q_t . k_s does not know of gates: heads that share q and k take it over from one another.

#include "../key_gate/forward.hpp"
#include "decays.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
class head_gate {
 public:
  head_gate() = default;
  head_gate(arena& scratch, const matrix_shape& n, index_t tokens, bool heads_share_keys = false)
      : decays_(scratch, n, tokens), exact_(scratch, n, tokens) {
    const index_t subchunks = subchunks_of(tokens);
    scores_ = scratch.take<C>(subchunks * subchunk_tokens * subchunk_tokens);
    across_ = scratch.take<C>(subchunk_tokens * subchunk_tokens);
    if (heads_share_keys)
      products_ =
          scratch.take<C>(subchunks * (subchunks + 1) / 2 * subchunk_tokens * subchunk_tokens);
    q_transposed_ = scratch.take<C>(n.rows * subchunks * subchunk_tokens);
  }

  void forward(const token_chunk<C>& c, C* state_out) const {
    with_exact_fallback(
        [&] {
          attend_inside(c);
          return state_finite(through_state(c, state_out), static_cast<const C*>(state_out), c.x.n);
        },
        [&] {
          spread_gates(c.x, c.tokens);
          exact_.forward(c, state_out);
        });
  }
  void advance(const token_chunk<C>& c, C* state_out) const {
    const matrix_shape& n = c.x.n;
    c.memory->begin(panels_of<C>(n) * simd::row_blocks(n.rows));
    with_exact_fallback(
        [&] {
          decays_.set_gates(c.x, decays_.set_to_end(c.x, c.tokens));
          return update(c, state_out, true).all(prefetching{c.memory});
        },
        [&] {
          spread_gates(c.x, c.tokens);
          exact_.advance(c, state_out);
        });
  }
  gate_product<C> gates() const { return decays_.gates(); }

  const head_decays<C>& decays() const { return decays_; }

 private:
  // What the chunk's own tokens give o, and all decays.
  void attend_inside(const token_chunk<C>& c) const {
    const matrix_tiles<C>& x = c.x;
    const auto decays = held(decays_);
    constexpr index_t side = subchunk_tokens;
    const index_t rows = x.n.rows, vp = x.n.value_pitch, subchunks = subchunks_of(c.tokens);
    c.memory->begin(products_forward<C>(x.n, c.tokens));
    if (!c.same_keys) transpose_tokens(c.tokens, rows, static_cast<const C*>(x.q), q_transposed_);
    const auto by_columns = [](const C* from) { return simd::by_columns<C>(from, side); };
    C before(1);  // product of the subchunks before
    for (index_t r = 0; r < subchunks; ++r) {
      const index_t first = r * side, count = tokens_in_subchunk(c.tokens, r);
      const C *q = x.q + first * rows, *k = x.k + first * rows;
      C *o = x.o + first * vp, *scores = scores_ + r * side * side;
      const C total = decays.set_subchunk(x, first, count, before);
      C* const products = products_ != nullptr ? product_of(r, r) : scores;
      if (!c.same_keys)
        multiply_keys(x.n, count, k, q_transposed_ + first, subchunks * side, products);
      decays.decay_scores(count, products, scores);
      // [tokens, tokens before] x [tokens before, V]
      simd::set_lower_product<C>(count, vp, by_columns(scores), {x.v + first * vp, vp}, {o, vp});
      for (index_t b = 0; b < r; ++b) {
        const index_t from = b * side;
        // [tokens, K] x [K, subchunk], x [subchunk, V]
        C* const between = products_ != nullptr ? product_of(r, b) : across_;
        if (!c.same_keys)
          simd::dot_products<C>(count, side, rows, {q, rows}, {x.k + from * rows, rows},
                                {between, side});
        C inside[static_cast<std::size_t>(side)];
        for (index_t t = 0; t < count; ++t) inside[t] = decays.from_first(x, first, t);
        for (index_t s = 0; s < side; ++s)
          for (index_t t = 0; t < count; ++t)
            across_[s * side + t] = between[s * side + t] * (decays.to_end[from + s] * inside[t]);
        simd::add_product<C>(count, vp, side, by_columns(across_), {x.v + from * vp, vp}, {o, vp});
      }
      for (index_t s = 0; s < first; ++s) decays.to_end[s] *= total;
      before *= total;
      prefetching{c.memory}();
    }
    decays_.set_gates(x, before);
  }
  // o += from_start q S_in, and S_out, if there is room for it. Returns zeros, or NaN where one of
  // them is not finite.
  simd::pack<C> through_state(const token_chunk<C>& c, C* state_out) const {
    using P = simd::pack<C>;
    const matrix_tiles<C>& x = c.x;
    const matrix_shape& n = x.n;
    const prefetching ahead{c.memory};
    const bool goes_on = state_out != nullptr;
    const auto step = goes_on ? update(c, state_out) : state_update<C, false>{};
    const auto queries =
        left_of_products(static_cast<const C*>(x.q), c.tokens, n, q_transposed_, false);
    P watch(0);
    simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
      // [tokens, K] x [K, registers]
      watch += simd::product_of_panel<C>(
          registers, c.tokens, n.rows, queries, {c.state_in + j, n.state_pitch},
          {x.o + j, n.value_pitch},
          [o = x.o + j, decay = decays_.from_start, pitch = n.value_pitch](index_t t, index_t v,
                                                                           P sum) {
            return simd::fma(P(decay[t]), sum, simd::load(o + t * pitch + v));
          },
          ahead);
      if (goes_on) watch += step.panel(registers, j, ahead);
    });
    return watch;
  }
  // Decays the values.
  state_update<C, false> update(const token_chunk<C>& c, C* state_out,
                                bool out_is_far = false) const {
    const matrix_tiles<C>& x = c.x;
    return {x.n,       c.tokens,
            x.k,       decays_.decayed(x.n, c.tokens, static_cast<const C*>(x.v), decays_.to_end),
            gates(),   c.state_in,
            state_out, out_is_far};
  }

  // q . k of subchunk r's queries with subchunk b's keys, [s][t], where they are kept.
  C* product_of(index_t r, index_t b) const {
    return products_ + (r * (r + 1) / 2 + b) * subchunk_tokens * subchunk_tokens;
  }

  head_decays<C> decays_{};
  exact_steps<C, false> exact_{};
  C* products_ = nullptr;      // of all pairs of subchunks, for heads that share q and k
  C* scores_ = nullptr;        // [subchunk][s][t]
  C* across_ = nullptr;        // [s][t]: P between two subchunks
  C* q_transposed_ = nullptr;  // [rows][tokens], of whole subchunks
};
static_assert(summarised_kernel<head_gate<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
