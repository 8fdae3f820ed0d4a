#pragma once
// The corrected transition, backward a chunk of C tokens at a time. With U, N, M of forward.hpp
// made once more and G the gradient of S_out:
//
//   dU = M^T dO + K^^ G                                        [C, V]
//   (I + N)^T dV = dU, row after row from the last one on      [C, V]
//   d = -dV, the gradient of what p read                       [C, V]
//   G_in = (prod of all gates)[K] G + Q^^T dO + P^^T d         [K, V]
//
// dq, dp, dk and da are those of pairs (../key_gate/pairs.hpp): q with dO and p with d read, k with
// U was written.

#include <utility>

#include "../key_gate/backward.hpp"
#include "forward.hpp"
#include "steps_backward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
class corrected_gate_adjoint {
 public:
  corrected_gate_adjoint() = default;
  /// Works in the scratch of `forward`, too.
  corrected_gate_adjoint(arena& scratch, const matrix_shape& n, index_t tokens,
                         const corrected_gate<C>& forward)
      : forward_(forward), pairs_(scratch, n, tokens, 2), exact_(scratch, n, tokens) {
    rows_ = scratch.take<C>(subchunk_tokens * n.rows);
    d_read_ = scratch.take<C>(2 * tokens * n.value_pitch);
    exact_d_ = matrix_gradients<C>(scratch, n, tokens, {.moves = transition::corrected});
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
                        [&] { token_by_token(c, d, g, g_in); });
  }

 private:
  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_shape& n = c.x.n;
    const index_t subchunks = subchunks_of(c.tokens), vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    write_again(c);

    token_chunk<C> written = c;
    written.x.v = forward_.u();
    C* const d_read = d_read_ + c.tokens * vp;  // behind dO
    copy_numbers(d_read_, static_cast<const C*>(d.d_o), c.tokens * vp);
    const auto q_decayed = forward_.decayed(), p_decayed = q_decayed.next_reader(c.tokens);
    const state_reader<C> readers[] = {{c.x.q, d_read_, d.dq, true}, {c.x.p, d_read, d.dp, false}};
    pairs_.begin(written, d);
    pairs_.with_state_out(written, q_decayed, g, d);
    pairs_.with_state_in(written, c.tokens, d_read_, d.dq);
    for (index_t r = subchunks - 1; r >= 0; --r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
      C* const dv = d.dv + first * vp;
      // [tokens, later tokens] x [later tokens, V]
      simd::add_upper_product<C>(count, vp,
                                 simd::by_rows<C>(q_decayed.scores_of(r), subchunk_tokens),
                                 {d_read_ + first * vp, vp}, {dv, vp});
      simd::solve_unit_upper<C>(
          count, vp, simd::by_rows<C>(p_decayed.scores_of(r), subchunk_tokens), {dv, vp});
      for (index_t i = 0; i < count * vp; ++i) d_read[first * vp + i] = -dv[i];
      pairs_.with_state_in(written, count, d_read + first * vp, d.dp + first * n.rows);
      pairs_.with_earlier_subchunks(written, r, q_decayed, readers[0], d);
      pairs_.with_earlier_subchunks(written, r, p_decayed, readers[1], d);
      pairs_.inside(written, r, readers, d);
    }
    const bool finite = incoming_gradient(c, g, g_in);
    const auto all_rows_finite = [&](const C* rows) {
      return all_finite(rows, c.tokens, n.rows, n.rows);
    };
    return finite && all_rows_finite(d.dq) && all_rows_finite(d.dp) && all_rows_finite(d.dk) &&
           all_rows_finite(d.da) && all_finite(d.dv, c.tokens, vp, vp);
  }

  // Products of both readers and U; q^ and p^ decay from their subchunks' first tokens.
  void write_again(const token_chunk<C>& c) const {
    const matrix_shape& n = c.x.n;
    const index_t vp = n.value_pitch;
    const auto q_decayed = forward_.decayed(), p_decayed = q_decayed.next_reader(c.tokens);
    const keys_in_tiles<C, false> queries(c.x), corrections(with_corrections_as_queries(c.x));
    for (index_t r = 0; r < subchunks_of(c.tokens); ++r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
      C* const u = forward_.u() + first * vp;
      q_decayed.set(queries, c.tokens, r);
      p_decayed.set(corrections, c.tokens, r);
      copy_numbers(rows_, static_cast<const C*>(p_decayed.q_of(r)), count * n.rows);
      const auto p = forward_.read_subchunks(c, r, p_decayed, rows_, forward_.p_transposed(), u);
      simd::for_each_panel<C>(vp, [&](index_t j, index_t registers) {
        read_state(registers, n, count, p, c.state_in + j, u + j, prefetching{c.memory});
        write_values<C>(registers * simd::lanes<C>, n, count, c.x.v + first * vp + j,
                        p_decayed.scores_of(r), u + j);
      });
    }
  }

  // g_in from g, [dO; d] and q^ and p^ of the subchunks, which are used up; false where it is not
  // finite.
  bool incoming_gradient(const token_chunk<C>& c, const C* g, C* g_in) const {
    const auto q_decayed = forward_.decayed(), p_decayed = q_decayed.next_reader(c.tokens);
    q_decayed.from_chunk_start(c.x, c.tokens);  // totals: from the chunk's start
    for (index_t r = 1; r < subchunks_of(c.tokens); ++r)
      scale_keys<false>(p_decayed.q_of(r), tokens_in_subchunk(c.tokens, r), c.x.n,
                        static_cast<const C*>(p_decayed.total_of(r - 1)), false);
    return state_update<C, false>{c.x.n, 2 * c.tokens, q_decayed.q, d_read_, q_decayed.gates(),
                                  g,     g_in}
        .all(prefetching{c.memory});
  }

  void token_by_token(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g, C* g_in) const {
    const matrix_shape& n = c.x.n;
    matrix_gradients<C> exact = exact_d_;
    exact.d_o = d.d_o;
    fill(g + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
    exact_.backward(c, exact, g);
    const auto replace_rows = [&](C* to, const C* from) {
      exact_steps_adjoint<C, false>::replace_rows(n, c.tokens, to, from);
    };
    replace_rows(d.dq, exact.dq), replace_rows(d.dp, exact.dp);
    replace_rows(d.dk, exact.dk), replace_rows(d.da, exact.da);
    replace_non_finite(d.dv, static_cast<const C*>(exact.dv), c.tokens * n.value_pitch);
    replace_non_finite_state(g_in, static_cast<const C*>(g), n);
  }

  corrected_gate<C> forward_{};
  pairs_adjoint<C, false> pairs_{};
  corrected_token_steps_adjoint<C> exact_{};
  matrix_gradients<C> exact_d_{};
  C* rows_ = nullptr;     // [token][rows] of a subchunk: p^ on its way to the chunk's start
  C* d_read_ = nullptr;   // [reader][token][value_pitch]: dO, and d behind it
  C* spare_g_ = nullptr;  // where g_in goes next
};
static_assert(chunk_adjoint<corrected_gate_adjoint<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
