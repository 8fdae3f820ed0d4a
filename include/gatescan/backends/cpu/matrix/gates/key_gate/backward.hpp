#pragma once
// Matrix states with a gate a key, backward a chunk at a time. dq, dk and da are those of pairs
// (pairs.hpp); the triangle of a subchunk's own pairs gives dv its rest,
//
//   dv_s = sum_{t>=s} P_ts do_t + Re((k_s prod_{j>s} a_j)^H G)                              [V]
//   G_in = conj(prod of all gates) G + sum_t conj(q_t prod_{j<=t} a_j) do_t^T            [K, V]

#include <utility>

#include "pairs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Blocks of the products with states, about.
template <class C>
index_t products_backward(const matrix_shape& n, index_t subchunks) {
  index_t contraction = 0;
  simd::for_each_panel<C>(subchunks * subchunk_tokens, [&](index_t, index_t registers) {
    contraction += simd::row_blocks(n.rows, registers);
  });
  return 2 * contraction + panels_of<C>(n) * (simd::row_blocks(n.rows) +
                                              subchunks * simd::row_blocks(subchunk_tokens));
}

template <class C, bool IsComplex, readout Reads = readout::inclusive>
class key_gate_adjoint {
 public:
  key_gate_adjoint() = default;
  /// Works in the scratch of `forward`, too.
  key_gate_adjoint(arena& scratch, const matrix_shape& n, index_t tokens,
                   const key_gate<C, IsComplex, Reads>& forward)
      : decayed_(forward.decayed()),
        pairs_(scratch, n, tokens),
        exact_(scratch, n, tokens),
        spare_g_(scratch.take<C>(n.state_size())) {
    if constexpr (!divides) return;
    decayed_.take_room_to_divide(scratch, tokens);
    inverse_ = scratch.take<C>(tokens * n.rows);
    divided_ = scratch.take<bool>(subchunks_of(tokens));
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
    decayed_.template set_queries<Reads>(c.x, c.tokens);
    incoming_gradient(c, d.d_o, g, g_in);
  }

 private:
  static constexpr bool exclusive = Reads == readout::exclusive;
  static constexpr bool divides = !IsComplex && !exclusive;

  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_tiles<C>& x = c.x;
    const matrix_shape& n = x.n;
    const index_t subchunks = subchunks_of(c.tokens), vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    const keys_in_tiles<C, IsComplex, Reads> keys(x);
    for (index_t r = 0; r < subchunks; ++r)
      if (!divide(c, r)) decayed_.set(keys, c.tokens, r);
    const state_reader<C> queries[] = {{x.q, d.d_o, d.dq, !exclusive}};
    const state_writer<C> written[] = {{x.k, decayed_.k, x.v, d.dk, d.dv}};
    pairs_.begin(c, written);
    pairs_.with_state_in(c, c.tokens, d.d_o, d.dq);
    pairs_.with_state_out(c, decayed_, g, written);
    for (index_t r = 0; r < subchunks; ++r)
      pairs_.with_earlier_subchunks(c, r, decayed_, queries[0], written);
    for (index_t r = 0; r < subchunks; ++r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
      // [tokens, later tokens] x [later tokens, V]
      simd::add_upper_product<C>(count, vp,
                                 simd::by_rows<C>(decayed_.scores_of(r), subchunk_tokens),
                                 {d.d_o + first * vp, vp}, {d.dv + first * vp, vp});
      if (divides && divided_[r])
        pairs_.inside_divided(c, r, decayed_, inverse_, queries[0], written[0], d.da);
      else
        pairs_.template inside<Reads>(c, r, queries, written, d.da);
    }
    if constexpr (exclusive) pairs_with_own_keys(c, d);
    const bool finite = incoming_gradient(c, d.d_o, g, g_in);
    return finite && all_finite(d.dq, c.tokens, n.rows, n.rows) &&
           all_finite(d.dk, c.tokens, n.rows, n.rows) &&
           all_finite(d.da, c.tokens, n.rows, n.rows) && all_finite(d.dv, c.tokens, vp, vp) &&
           (!exclusive || all_finite(d.d_own, c.tokens, n.rows, n.rows));
  }

  bool divide(const token_chunk<C>& c, index_t r) const {
    if constexpr (!divides) return false;
    const index_t at = r * subchunk_tokens * c.x.n.rows;
    const index_t safe = decayed_.template divide<Reads>(
        pairs_in_tiles<C, 1, 1>{{c.x.q + at}, {c.x.k + at}, c.x.a + at}, c.tokens, r, 0,
        inverse_ + at);
    return divided_[r] = safe == tokens_in_subchunk(c.tokens, r);
  }

  // Queries with the keys of their own token: dq += conj(own) (do . v), down = conj(q) (do . v).
  static void pairs_with_own_keys(const token_chunk<C>& c, const matrix_gradients<C>& gradients) {
    const auto x = held(c.x);
    const auto d = held(gradients);
    const index_t kp = x.n.key_pitch, vp = x.n.value_pitch;
    for (index_t t = 0; t < c.tokens; ++t) {
      const index_t row = t * x.n.rows;
      simd::pack<C> sum(0);
      for (index_t j = 0; j < vp; j += simd::lanes<C>)
        sum = simd::fma(simd::load(d.d_o + t * vp + j), simd::load(x.v + t * vp + j), sum);
      const simd::pack<C> dp(simd::sum(sum));
      for (index_t i = 0; i < kp; i += simd::lanes<C>) {
        const auto q = load_keys<IsComplex>(x.q + row, i, kp);
        const auto own = load_keys<IsComplex>(x.own + row, i, kp);
        const auto dq = load_keys<IsComplex>(d.dq + row, i, kp);
        store_keys<IsComplex>(d.dq + row, i, kp, fma(conj(own), dp, dq));
        store_keys<IsComplex>(d.d_own + row, i, kp, conj(q) * dp);
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
  pairs_adjoint<C, IsComplex> pairs_{};
  exact_steps_adjoint<C, IsComplex, Reads> exact_{};
  C* spare_g_ = nullptr;     // where g_in goes next
  C* inverse_ = nullptr;     // [token][rows]: 1 / P of a subchunk
  bool* divided_ = nullptr;  // [subchunk]
};
static_assert(summarised_adjoint<key_gate_adjoint<float, false>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
