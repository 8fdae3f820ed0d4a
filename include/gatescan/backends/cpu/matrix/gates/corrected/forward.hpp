#pragma once
// The corrected transition, forward a chunk of C tokens at a time, without a division and without a
// state inside the chunk. ^ is decayed as in ../key_gate/subchunks.hpp. p is a second reader beside
// q; it reads before its own token writes.
//
//   N_ts = p^_t k^_s, s < t                M_ts = q^_t k^_s, s <= t           [C, C]
//   (I + N) U = V - P^ S_in                                                  [C, V]
//   O = Q^ S_in + M U                                                        [C, V]
//   S_out = (prod of all gates)[K] S_in + K^^T U                             [K, V]
//
// The system is solved row after row. A series for its inverse would not do: for unit keys that are
// alike and beta up to 2 its terms grow where the solution does not.

#include "../../../simd/triangular.hpp"
#include "../key_gate/forward.hpp"
#include "steps.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// The tiles with p in the place of q.
template <class C>
matrix_tiles<C> with_corrections_as_queries(const matrix_tiles<C>& x) {
  matrix_tiles<C> tiles = x;
  tiles.q = x.p;
  return tiles;
}

// A panel of U of a subchunk, in the place of what its p read of all that was before it.
template <class C>
void write_values(index_t columns, const matrix_shape& n, index_t count, const C* v,
                  const C* scores, C* u) {
  for (index_t t = 0; t < count; ++t)
    for (index_t j = 0; j < columns; j += simd::lanes<C>) {
      C* const at = u + t * n.value_pitch + j;
      simd::store(at, simd::load(v + t * n.value_pitch + j) - simd::load(at));
    }
  simd::solve_unit_lower<C>(count, columns, simd::by_columns<C>(scores, subchunk_tokens),
                            {u, n.value_pitch});
}

template <class C>
class corrected_gate {
 public:
  corrected_gate() = default;
  corrected_gate(arena& scratch, const matrix_shape& n, index_t tokens)
      : decayed_(scratch, n, tokens, 2) {
    u_ = scratch.take<C>(tokens * n.value_pitch);
    across_ = scratch.take<C>(subchunk_tokens * subchunk_tokens);
    q_transposed_ = scratch.take<C>(n.rows * subchunk_tokens);
    p_transposed_ = scratch.take<C>(n.rows * subchunk_tokens);
    exact_state_ = scratch.take<C>(n.state_size());
    exact_o_ = scratch.take<C>(tokens * n.value_pitch);
  }

  void forward(const token_chunk<C>& c, C* state_out) const {
    with_exact_fallback([&] { return in_products<true>(c, state_out); },
                        [&] { token_by_token(c, state_out); });
  }
  void advance(const token_chunk<C>& c, C* state_out) const {
    with_exact_fallback([&] { return in_products<false>(c, state_out); },
                        [&] {
                          fill(c.x.q, c.tokens * c.x.n.rows, C(0));  // may not have been read
                          token_by_token(c, state_out);
                        });
  }

  const decayed_subchunks<C, false>& decayed() const { return decayed_; }
  /// [token][value_pitch]
  C* u() const { return u_; }

  /// to[token][value_pitch] = what a reader's rows of subchunk r read of the subchunks before it.
  /// The rows decay on to the chunk's first token; returns them as a left operand.
  auto read_subchunks(const token_chunk<C>& c, index_t r,
                      const decayed_subchunks<C, false>& decayed, C* rows, C* transposed,
                      C* to) const {
    const matrix_shape& n = c.x.n;
    const index_t count = tokens_in_subchunk(c.tokens, r);
    fill(to, count * n.value_pitch, C(0));
    read_earlier_subchunks<C, false>(decayed, n, c.tokens, r, rows, u_, to, across_);
    return left_of_products(static_cast<const C*>(rows), count, n, transposed);
  }
  C* p_transposed() const { return p_transposed_; }

 private:
  // S_out and, with Outputs, o. False where one of them is not finite.
  template <bool Outputs>
  bool in_products(const token_chunk<C>& c, C* state_out) const {
    const matrix_tiles<C>& x = c.x;
    const matrix_shape& n = x.n;
    const index_t subchunks = subchunks_of(c.tokens), vp = n.value_pitch;
    const prefetching ahead{c.memory};
    c.memory->begin(panels_of<C>(n) *
                    ((Outputs ? 2 : 1) * simd::row_blocks(c.tokens) + simd::row_blocks(n.rows)));
    const keys_in_tiles<C, false> queries(x), corrections(with_corrections_as_queries(x));
    const auto q_decayed = decayed_, p_decayed = decayed_.next_reader(c.tokens);
    const state_update<C, false> update{n,          c.tokens,  q_decayed.k, u_, q_decayed.gates(),
                                        c.state_in, state_out, !Outputs};
    simd::pack<C> watch(0);
    for (index_t r = 0; r < subchunks; ++r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
      C *const u = u_ + first * vp, *const o = x.o + first * vp;
      const C *const n_scores = p_decayed.scores_of(r), *const m_scores = q_decayed.scores_of(r);
      p_decayed.set(corrections, c.tokens, r);
      const auto p = read_subchunks(c, r, p_decayed, p_decayed.q_of(r), p_transposed_, u);
      auto q = p;
      if (Outputs) {
        q_decayed.set(queries, c.tokens, r);
        q = read_subchunks(c, r, q_decayed, q_decayed.q_of(r), q_transposed_, o);
      }
      const bool last = r + 1 == subchunks;
      if (last) q_decayed.to_chunk_end(x, c.tokens);
      simd::for_each_panel<C>(vp, [&](index_t j, index_t registers) {
        const index_t columns = registers * simd::lanes<C>;
        read_state(registers, n, count, p, c.state_in + j, u + j, ahead);
        write_values<C>(columns, n, count, x.v + first * vp + j, n_scores, u + j);
        if (Outputs) {
          // [tokens, tokens before] x [tokens before, V]
          simd::add_lower_product<C>(count, columns, simd::by_columns<C>(m_scores, subchunk_tokens),
                                     {u + j, vp}, {o + j, vp});
          watch += read_state(registers, n, count, q, c.state_in + j, o + j, ahead);
        }
        if (last) watch += update.panel(registers, j, ahead);
      });
    }
    return state_finite(watch, static_cast<const C*>(state_out), n);
  }
  void token_by_token(const token_chunk<C>& c, C* state_out) const {
    const matrix_shape& n = c.x.n;
    matrix_tiles<C> exact = c.x;
    exact.o = exact_o_;
    copy_numbers(exact_state_, c.state_in, n.part_size());
    fill(exact_state_ + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
    corrected_steps(exact, c.tokens, exact_state_, n.state_pitch);
    replace_non_finite(c.x.o, exact_o_, c.tokens * n.value_pitch);
    replace_non_finite_state(state_out, exact_state_, n);
  }

  decayed_subchunks<C, false> decayed_{};  // of q; of p is its next reader
  C* u_ = nullptr;
  C* across_ = nullptr;                                  // [s][t]: scores between two subchunks
  C *q_transposed_ = nullptr, *p_transposed_ = nullptr;  // [rows][tokens], of a subchunk
  C *exact_state_ = nullptr, *exact_o_ = nullptr;        // of the token by token form
};
static_assert(chunk_kernel<corrected_gate<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
