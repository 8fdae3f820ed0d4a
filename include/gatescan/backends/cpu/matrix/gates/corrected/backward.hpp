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
#include "divided_pairs.hpp"
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
    const index_t whole = subchunks_of(tokens) * subchunk_tokens;
    inverse_ = scratch.take<C>(tokens * n.rows);
    divided_ = scratch.take<bool>(subchunks_of(tokens));
    d_read_transposed_ = scratch.take<C>(readers * n.value_pitch * whole);
    columns_ = scratch.take<C>(readers * n.rows * whole);
    keys_transposed_ = scratch.take<C>(n.rows * subchunk_tokens);
    if (whole > 2 * subchunk_tokens) seen_ = scratch.take<C>(subchunk_tokens * n.rows);
    d_scores_ = scratch.take<C>(readers * writers * subchunk_tokens * subchunk_tokens);
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
  using all_readers = state_reader<C>[std::size_t{readers}];
  using all_writers = state_writer<C>[std::size_t{writers}];

  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_shape& n = c.x.n;
    const index_t subchunks = subchunks_of(c.tokens), vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    for (index_t r = 0; r < subchunks; ++r)
      divided_[r] = forward_.set_products(c, r, inverse_ + r * subchunk_tokens * n.rows);

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
      values_of_earlier_subchunks(c, r, by, written);
    }
    with_state_in(c, by);
    for (index_t r = subchunks - 1; r >= 0; --r) {
      with_earlier_subchunks(c, r, by, written);
      if (divided_[r])
        inside_divided(c, r, by, written, d.da);
      else
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

  // S_in as a key of all readers at once: Y.
  void with_state_in(const token_chunk<C>& c, const all_readers& by) const {
    const matrix_shape& n = c.x.n;
    const index_t whole = subchunks_of(c.tokens) * subchunk_tokens, pitch = readers * whole;
    for (index_t m = 0; m < readers; ++m) {
      C* const to = d_read_transposed_ + m * whole;
      for (index_t j = 0; c.tokens < whole && j < n.value_pitch; ++j)
        fill(to + j * pitch + c.tokens, whole - c.tokens, C(0));
      simd::transpose<C>(c.tokens, n.value_pitch, {by[m].d_read, n.value_pitch}, {to, pitch});
    }
    // [K, V] x [V, tokens]
    simd::set_product<C>(n.rows, pitch, n.value_pitch, simd::by_rows<C>(c.state_in, n.state_pitch),
                         {d_read_transposed_, pitch}, {columns_, pitch}, prefetching{c.memory});
    for (index_t m = 0; m < readers; ++m)
      simd::transpose<C>(n.rows, c.tokens, {columns_ + m * whole, pitch}, {by[m].d_rows, n.rows});
  }
  // Rows of a reader's subchunk r, as they are seen from the end of subchunk b before it.
  const C* rows_seen_from(const token_chunk<C>& c, index_t m, index_t r, index_t b) const {
    const auto decayed = forward_.q_and(c.tokens);
    const index_t rows = c.x.n.rows, count = tokens_in_subchunk(c.tokens, r);
    const C* const here = decayed.q_of(r) + m * c.tokens * rows;
    if (b + 1 == r) return here;
    copy_numbers(seen_, here, count * rows);
    for (index_t between = b + 1; between < r; ++between)
      scale_keys<false>(seen_, count, c.x.n, static_cast<const C*>(decayed.total_of(between)),
                        false);
    return seen_;
  }
  // Gradients of values of the subchunks before r, from what its tokens read.
  void values_of_earlier_subchunks(const token_chunk<C>& c, index_t r, const all_readers& by,
                                   const all_writers& written) const {
    constexpr index_t side = subchunk_tokens;
    const index_t rows = c.x.n.rows, vp = c.x.n.value_pitch;
    const index_t first = r * side, count = tokens_in_subchunk(c.tokens, r);
    for (index_t b = 0; b < r; ++b)
      for (const state_writer<C>& writer : written) {
        simd::transpose<C>(side, rows, {writer.decayed + b * side * rows, rows},
                           {keys_transposed_, side});
        for (index_t m = 0; m < readers; ++m) {
          // [tokens, K] x [K, keys], [keys, tokens] x [tokens, V]
          simd::set_product<C>(count, side, rows,
                               simd::by_rows<C>(rows_seen_from(c, m, r, b), rows),
                               {keys_transposed_, side}, {d_scores_, side});
          simd::add_product<C>(
              side, vp, count, simd::by_columns<C>(static_cast<const C*>(d_scores_), side),
              {by[m].d_read + first * vp, vp}, {writer.d_values + b * side * vp, vp});
        }
      }
  }
  // Readers of subchunk r with the keys of those before it: their Y, X and z.
  void with_earlier_subchunks(const token_chunk<C>& c, index_t r, const all_readers& by,
                              const all_writers& written) const {
    constexpr index_t side = subchunk_tokens;
    const auto n = held(c.x.n);
    const index_t rows = n.rows, first = r * side, count = tokens_in_subchunk(c.tokens, r);
    const auto decayed = forward_.q_and(c.tokens);
    for (index_t b = 0; b < r; ++b)
      for (index_t m = 0; m < readers; ++m) {
        const C *const q = rows_seen_from(c, m, r, b), *const total = decayed.total_of(b);
        C *const y = by[m].d_rows + first * rows, *const z = pairs_.z_of(n, b);
        for (index_t i = 0; i < rows; i += simd::lanes<C>) {
          simd::pack<C> sum = simd::load(z + i);
          const simd::pack<C> decay = simd::load(total + i);
          for (index_t at = i; at < count * rows; at += rows) {
            const simd::pack<C> before = simd::load(y + at);
            sum = simd::fma(simd::load(q + at), before, sum);
            simd::store(y + at, decay * before);
          }
          simd::store(z + i, sum);
        }
        for (std::size_t w = 0; w < std::size_t{writers}; ++w) {
          pairs_.set_d_scores(c, w, b, by[m].d_read + first * n.value_pitch, count, d_scores_);
          const C* const scores = d_scores_;
          // [keys, tokens] x [tokens, K], [tokens, keys] x [keys, K]
          simd::add_product<C>(side, rows, count, simd::by_columns<C>(scores, side), {q, rows},
                               {written[w].d_rows + b * side * rows, rows});
          simd::add_product<C>(count, rows, side, simd::by_rows<C>(scores, side),
                               {written[w].decayed + b * side * rows, rows}, {y, rows});
        }
      }
  }
  // Pairs inside subchunk r, as pairs_.inside.
  void inside_divided(const token_chunk<C>& c, index_t r, const all_readers& by,
                      const all_writers& written, C* da) const {
    constexpr index_t side = subchunk_tokens;
    const index_t rows = c.x.n.rows, first = r * side, at = first * rows;
    const index_t count = tokens_in_subchunk(c.tokens, r);
    const auto decayed = forward_.q_and(c.tokens);
    divided_by_writers<C, std::size_t{writers}> pairs{
        rows,    c.x.a + at, inverse_ + at, decayed.total_of(r), pairs_.z_of(c.x.n, r), {},
        da + at, {}};
    divided_reader<C, std::size_t{writers}> of[std::size_t{readers}];
    C* d_scores = d_scores_;
    for (std::size_t m = 0; m < std::size_t{readers}; ++m) {
      of[m].q = decayed.q_of(r) + static_cast<index_t>(m) * c.tokens * rows;
      of[m].dq = by[m].d_rows + at;
      of[m].d_scores = d_scores;
      pairs_.set_d_scores(c, r, by[m].d_read + first * c.x.n.value_pitch, count, d_scores);
      for (index_t t = 0; !by[m].reads_own && t < count; ++t)
        for (index_t w = 0; w < writers; ++w) d_scores[(t * writers + w) * side + t] = C(0);
      d_scores += writers * side * side;
    }
    for (std::size_t w = 0; w < std::size_t{writers}; ++w) {
      pairs.k[w] = decayed.k_divided_of(static_cast<index_t>(w) * subchunks_of(c.tokens) + r);
      pairs.dk[w] = written[w].d_rows + at;
    }
    meet_readers<readout::inclusive, gate::p_reads>(pairs, of, count);
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
  C* inverse_ =
      nullptr;  // [token][rows]: 1 / the products of gates, of subchunks that were divided
  bool* divided_ = nullptr;         // [subchunk]
  C* d_read_transposed_ = nullptr;  // [value_pitch][reader][token of whole subchunks]
  C* columns_ = nullptr;            // [rows][reader][token of whole subchunks]
  C* keys_transposed_ = nullptr;    // [rows][token] of a subchunk
  C* seen_ = nullptr;               // [token][rows] of a subchunk
  C* d_scores_ = nullptr;           // [reader][t][writer][s] of a subchunk
  C* d_read_ = nullptr;             // [reader][token][value_pitch]: dO, and d behind it
  C* du_ = nullptr;                 // [token][value_pitch]
  C* spare_g_ = nullptr;            // where g_in goes next
};
static_assert(chunk_adjoint<corrected_gate_adjoint<float, transition::corrected>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
