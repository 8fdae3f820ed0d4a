#pragma once
// The corrected transition where keys have one gate a token, backward a chunk of C tokens at a
// time. With N, M of head_gate.hpp made once more, U as it was kept on the way forward, G the
// gradient of S_out, b and e the decays from the chunk's start and to its end:
//
//   dU = M^T dO + e K G                                        [C, V]
//   (I + N)^T dV = dU, row after row from the last one on      [C, V]
//   d = -dV, the gradient of what p read                       [C, V]
//   G_in = (prod of all gates) G + Q^T (b dO) + P^T (b d)      [K, V]
//
// The way forward goes as in head_gate.hpp, of all tokens at once, and keeps p.k behind U.
// dq, dp, dk and da are those of pairs (../head_gate/pairs.hpp): q with dO and p with d read, k
// with U were written.

#include <utility>

#include "../head_gate/pairs.hpp"
#include "backward.hpp"
#include "head_gate.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
class corrected_head_gate_adjoint {
  using key_gates_adjoint = corrected_gate_adjoint<C, transition::corrected>;

 public:
  corrected_head_gate_adjoint() = default;
  /// Works in the scratch of `forward` and `adjoint`, too.
  corrected_head_gate_adjoint(arena& scratch, const matrix_shape& n, index_t tokens,
                              const corrected_head_gate<C>& forward,
                              const key_gates_adjoint& adjoint)
      : forward_(forward),
        decays_(forward.decays()),
        pairs_(scratch, n, tokens, decays_, 2),
        adjoint_(adjoint),
        most_tokens_(tokens) {
    rows_ = scratch.take<C>(2 * tokens * n.rows);
    d_read_ = scratch.take<C>(2 * tokens * n.value_pitch);
    spare_g_ = scratch.take<C>(n.state_size());
  }

  /// Numbers that are kept of a chunk: U and p.k.
  static index_t kept_size(const matrix_shape& n, index_t tokens) {
    return tokens * n.value_pitch + head_pairs_adjoint<C>::products_size(tokens);
  }
  /// Forward: S_out, if there is room for it, and what is kept.
  void keep(const token_chunk<C>& c, C* kept, C* state_out) const {
    with_exact_fallback([&] { return states_in_products(c, kept, state_out); },
                        [&] { forward_.advance_token_by_token(c, state_out); });
  }
  /// d.da has one number a token.
  C* backward(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g) {
    C* const g_in = std::exchange(spare_g_, g);
    retreat(c, d, g, g_in);
    return g_in;
  }
  /// All gradients too: g_in comes last, out of what makes them.
  void retreat(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g, C* g_in) const {
    with_exact_fallback([&] { return in_products(c, d, g, g_in); },
                        [&] {
                          spread_gates(c.x, c.tokens);
                          replace_gate_gradients(c.x.n, c.tokens, d.da,
                                                 adjoint_.token_by_token(c, d, g, g_in));
                        });
  }

 private:
  static constexpr std::size_t of_q = 0, of_p = 1;  // readers

  // False where S_out is not finite.
  bool states_in_products(const token_chunk<C>& c, C* kept, C* state_out) const {
    using P = simd::pack<C>;
    constexpr index_t side = subchunk_tokens;
    const matrix_shape& n = c.x.n;
    const index_t subchunks = subchunks_of(c.tokens), rows = n.rows, vp = n.value_pitch;
    const prefetching ahead{c.memory};
    c.memory->begin(panels_of<C>(n) * (simd::row_blocks(c.tokens) + simd::row_blocks(rows)));
    pairs_.begin(c);
    pairs_.set_products(c, of_p, c.x.p);
    copy_numbers(kept + most_tokens_ * vp, static_cast<const C*>(pairs_.products(c.tokens, of_p)),
                 head_pairs_adjoint<C>::products_size(c.tokens));
    pairs_.template set_scores<false>(c, of_p, C(-1));
    const state_update<C, false> update{
        n, c.tokens, c.x.k, decays_.decayed_rows(), decays_.gates(), c.state_in, state_out, true};
    C* const u = forward_.u();
    P watch(0);
    simd::for_each_panel<C>(vp, [&](index_t j, index_t registers) {
      const index_t columns = registers * simd::lanes<C>;
      // [tokens, K] x [K, registers]
      simd::product_of_panel<C>(
          registers, c.tokens, rows, simd::by_rows<C>(static_cast<const C*>(c.x.p), rows),
          {c.state_in + j, n.state_pitch}, {u + j, vp},
          [v = c.x.v + j, b = decays_.from_start, vp](index_t t, index_t i, P sum) {
            return simd::fma(P(-b[t]), sum, simd::load(v + t * vp + i));
          },
          ahead);
      for (index_t b = 0; b < subchunks; ++b) {
        const C* const scores = pairs_.scores(c.tokens, of_p, b);
        C* const here = u + b * side * vp + j;
        simd::solve_unit_lower<C>(tokens_in_subchunk(c.tokens, b), columns,
                                  simd::by_rows<C>(scores, side), {here, vp});
        if (b + 1 < subchunks)  // [later tokens, tokens] x [tokens, registers]
          simd::add_product<C>(c.tokens - (b + 1) * side, columns, side,
                               simd::by_rows<C>(scores + side * side, side), {here, vp},
                               {here + side * vp, vp});
      }
      if (state_out == nullptr) return;
      decays_.decay(n, c.tokens, u, decays_.to_end, j, columns);
      watch += update.panel(registers, j, ahead);
    });
    copy_numbers(kept, static_cast<const C*>(u), c.tokens * vp);
    return state_finite(watch, static_cast<const C*>(state_out), n);
  }

  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_shape& n = c.x.n;
    const index_t subchunks = subchunks_of(c.tokens), kp = n.rows, vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    C* const d_read = d_read_ + c.tokens * vp;  // behind dO
    copy_numbers(d_read_, static_cast<const C*>(d.d_o), c.tokens * vp);
    const state_reader<C> readers[] = {{c.x.q, d_read_, d.dq}, {c.x.p, d_read, d.dp, false}};
    pairs_.begin(c);
    pairs_.set_products(c, of_q, c.x.q);
    copy_numbers(pairs_.products(c.tokens, of_p), c.written + most_tokens_ * vp,
                 head_pairs_adjoint<C>::products_size(c.tokens));
    pairs_.template set_scores<true>(c, of_q);
    pairs_.template set_scores<false>(c, of_p, C(-1));

    pairs_.values_with_state_out(c, g, d.dv);
    for (index_t b = subchunks - 1; b >= 0; --b) {
      const index_t first = b * subchunk_tokens, count = tokens_in_subchunk(c.tokens, b);
      // by turns, as p takes back what q gives
      for (index_t r = subchunks - 1; r > b; --r) {
        pairs_.add_values(c, of_q, b, r, d_read_, d.dv);
        pairs_.add_values(c, of_p, b, r, d.dv, d.dv);
      }
      pairs_.add_values(c, of_q, b, b, d_read_, d.dv);
      const C* const scores = pairs_.scores(c.tokens, of_p, b);
      simd::solve_unit_upper<C>(count, vp, simd::by_columns<C>(scores, subchunk_tokens),
                                {d.dv + first * vp, vp});
    }
    for (index_t i = 0; i < c.tokens * vp; i += simd::lanes<C>)
      simd::store(d_read + i, -simd::load(d.dv + i));

    pairs_.with_state_in(c, readers);
    pairs_.with_state_out(c, g, c.written, d.dk);
    for (index_t b = 0; b < subchunks; ++b)
      pairs_.template keys_with_queries<true, false>(c, b, readers, d.dk);
    pairs_.gate_gradients(c, g, d.da);
    const bool finite = incoming_gradient(c, g, g_in);
    const auto all_rows_finite = [&](const C* rows) { return all_finite(rows, c.tokens, kp, kp); };
    return finite && all_rows_finite(d.dq) && all_rows_finite(d.dp) && all_rows_finite(d.dk) &&
           all_finite(d.da, 1, padded<C>(c.tokens), 0) && all_finite(d.dv, c.tokens, vp, vp);
  }

  // g_in from g, dO and d; false where it is not finite.
  bool incoming_gradient(const token_chunk<C>& c, const C* g, C* g_in) const {
    const matrix_shape& n = c.x.n;
    const index_t keys = c.tokens * n.rows, values = c.tokens * n.value_pitch;
    copy_numbers(rows_, static_cast<const C*>(c.x.q), keys);
    copy_numbers(rows_ + keys, static_cast<const C*>(c.x.p), keys);
    for (C* const read : {d_read_, d_read_ + values})
      for (index_t t = 0; t < c.tokens; ++t)
        for (index_t at = t * n.value_pitch; at < (t + 1) * n.value_pitch; at += simd::lanes<C>)
          simd::store(read + at, simd::pack<C>(decays_.from_start[t]) * simd::load(read + at));
    return state_update<C, false>{n, 2 * c.tokens, rows_, d_read_, decays_.gates(), g, g_in}.all(
        prefetching{c.memory});
  }

  corrected_head_gate<C> forward_{};
  head_decays<C> decays_{};
  head_pairs_adjoint<C> pairs_{};
  key_gates_adjoint adjoint_{};  // the way token by token
  index_t most_tokens_ = 0;      // of a chunk
  C* rows_ = nullptr;            // [reader][token][rows]: q, and p behind it
  C* d_read_ = nullptr;          // [reader][token][value_pitch]: dO, and d behind it
  C* spare_g_ = nullptr;         // where g_in goes next
};
static_assert(chunk_adjoint<corrected_head_gate_adjoint<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
