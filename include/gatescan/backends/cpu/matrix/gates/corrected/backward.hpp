#pragma once
// The corrected transition, backward a chunk of C tokens at a time. With N, M of forward.hpp made
// once more, U as it was kept on the way forward and G the gradient of S_out:
//
//   dU = M^T dO + K^^ G                                        [C, V]
//   (I + N)^T dV = dU, row after row from the last one on      [C, V]
//   d = -dV, the gradient of what p read                       [C, V]
//   G_in = (prod of all gates)[K] G + Q^^T dO + P^^T d         [K, V]
//
// With transition::low_rank, where U is written under b and V under k,
//
//   dU = M_b^T dO + B^^ G,  (I + N_b)^T dU' = dU,  d = -dU'
//   dV = M_k^T dO + N_k^T d + K^^ G
//
// dq, dp, dk, db and da are those of pairs (../key_gate/pairs.hpp): q with dO and p with d read, k
// with U, or b with U and k with V, were written.

#include <utility>

#include "../key_gate/backward.hpp"
#include "forward.hpp"
#include "steps_backward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, transition Moves>
class corrected_gate_adjoint {
  using gate = corrected_gate<C, Moves>;
  static constexpr bool low_rank = gate::low_rank;
  static constexpr index_t readers = gate::readers, writers = gate::writers;

 public:
  corrected_gate_adjoint() = default;
  /// Works in the scratch of `forward`, too.
  corrected_gate_adjoint(arena& scratch, const matrix_shape& n, index_t tokens, const gate& forward)
      : forward_(forward),
        pairs_(scratch, n, tokens, readers, writers),
        exact_(scratch, n, tokens) {
    d_read_ = scratch.take<C>(readers * tokens * n.value_pitch);
    if (low_rank) du_ = scratch.take<C>(tokens * n.value_pitch);
    exact_d_ = matrix_gradients<C>(scratch, n, tokens, {.moves = Moves});
    spare_g_ = scratch.take<C>(n.state_size());
  }

  C* backward(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g) {
    C* const g_in = std::exchange(spare_g_, g);
    retreat(c, d, g, g_in);
    return g_in;
  }
  /// All gradients too: g_in comes last, out of what makes them.
  void retreat(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g, C* g_in) const {
    with_exact_fallback([&] { return in_products(c, d, g, g_in); },
                        [&] {
                          const C* const da = token_by_token(c, d, g, g_in);
                          replace_rows(c, d.da, da);
                        });
  }
  /// What is not finite of all gradients but those of gates, which keys may share, is taken from
  /// here; returns those. g is used up.
  const C* token_by_token(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g,
                          C* g_in) const {
    const matrix_shape& n = c.x.n;
    matrix_gradients<C> exact = exact_d_;
    exact.d_o = d.d_o;
    fill(g + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
    exact_.backward(c, exact, g);
    replace_rows(c, d.dq, exact.dq), replace_rows(c, d.dp, exact.dp);
    replace_rows(c, d.dk, exact.dk);
    if (low_rank) replace_rows(c, d.db, exact.db);
    replace_non_finite(d.dv, static_cast<const C*>(exact.dv), c.tokens * n.value_pitch);
    replace_non_finite_state(g_in, static_cast<const C*>(g), n);
    return exact.da;
  }

 private:
  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_shape& n = c.x.n;
    const index_t subchunks = subchunks_of(c.tokens), vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    for (index_t r = 0; r < subchunks; ++r) forward_.set_products(c, r);

    C* const d_read = d_read_ + c.tokens * vp;  // behind dO
    copy_numbers(d_read_, static_cast<const C*>(d.d_o), c.tokens * vp);
    const auto q_decayed = forward_.q_and(c.tokens), p_decayed = forward_.p_and(c.tokens);
    const state_reader<C> by[] = {{c.x.q, d_read_, d.dq, true}, {c.x.p, d_read, d.dp, false}};
    state_writer<C> written[std::size_t{writers}];
    written[writers - 1] = {c.x.k, forward_.q_and(c.tokens, writers - 1).k, c.x.v, d.dk, d.dv};
    if (low_rank)
      written[0] = {c.x.b, q_decayed.k, c.written, d.db, du_};
    else
      written[0].values = c.written;
    pairs_.begin(c, written);
    pairs_.with_state_out(c, q_decayed, g, written);
    pairs_.with_state_in(c, c.tokens, d_read_, d.dq);
    // to += the scores of subchunk r, transposed, x what was read: [tokens, later tokens] x
    // [later tokens, V]
    const auto add = [&](const auto& decayed, index_t r, const C* read, C* to) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
      const C* const scores = decayed.scores_of(r);
      simd::add_upper_product<C>(count, vp, simd::by_rows<C>(scores, subchunk_tokens),
                                 {read + first * vp, vp}, {to + first * vp, vp});
    };
    for (index_t r = subchunks - 1; r >= 0; --r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
      C *const du = written[0].d_values, *const rows = du + first * vp;
      const C* const scores = p_decayed.scores_of(r);
      add(q_decayed, r, d_read_, du);
      simd::solve_unit_upper<C>(count, vp, simd::by_rows<C>(scores, subchunk_tokens), {rows, vp});
      for (index_t i = 0; i < count * vp; ++i) d_read[first * vp + i] = -rows[i];
      if (low_rank) {
        add(forward_.q_and(c.tokens, 1), r, d_read_, d.dv);
        add(forward_.p_and(c.tokens, 1), r, d_read, d.dv);
      }
      pairs_.with_state_in(c, count, d_read + first * vp, d.dp + first * n.rows);
      pairs_.with_earlier_subchunks(c, r, q_decayed, by[0], written);
      pairs_.with_earlier_subchunks(c, r, p_decayed, by[1], written);
      pairs_.template inside<readout::inclusive, gate::p_reads>(c, r, by, written, d.da);
    }
    const bool finite = incoming_gradient(c, g, g_in);
    const auto all_rows_finite = [&](const C* rows) {
      return all_finite(rows, c.tokens, n.rows, n.rows);
    };
    return finite && all_rows_finite(d.dq) && all_rows_finite(d.dp) && all_rows_finite(d.dk) &&
           (!low_rank || all_rows_finite(d.db)) && all_rows_finite(d.da) &&
           all_finite(d.dv, c.tokens, vp, vp);
  }

  // g_in from g, [dO; d] and q^ and p^ of the subchunks, which are used up; false where it is not
  // finite.
  bool incoming_gradient(const token_chunk<C>& c, const C* g, C* g_in) const {
    const auto q_decayed = forward_.q_and(c.tokens), p_decayed = forward_.p_and(c.tokens);
    q_decayed.from_chunk_start(c.x, c.tokens);  // totals: from the chunk's start
    for (index_t r = 1; r < subchunks_of(c.tokens); ++r)
      scale_keys<false>(p_decayed.q_of(r), tokens_in_subchunk(c.tokens, r), c.x.n,
                        static_cast<const C*>(p_decayed.total_of(r - 1)), false);
    return state_update<C, false>{
        c.x.n, readers * c.tokens, q_decayed.q, d_read_, q_decayed.gates(), g, g_in}
        .all(prefetching{c.memory});
  }

  static void replace_rows(const token_chunk<C>& c, C* to, const C* exact) {
    exact_steps_adjoint<C, false>::replace_rows(c.x.n, c.tokens, to, exact);
  }

  gate forward_{};
  pairs_adjoint<C, false> pairs_{};
  corrected_token_steps_adjoint<C, Moves> exact_{};
  matrix_gradients<C> exact_d_{};
  C* d_read_ = nullptr;   // [reader][token][value_pitch]: dO, and d behind it
  C* du_ = nullptr;       // [token][value_pitch]
  C* spare_g_ = nullptr;  // where g_in goes next
};
static_assert(chunk_adjoint<corrected_gate_adjoint<float, transition::corrected>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
