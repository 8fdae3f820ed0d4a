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
// and with transition::low_rank, where p^ stops before its token's gate, U is written under b and V
// under k, and a second letter says under which,
//
//   (I + N_b) U = -P^ S_in - N_k V           O = Q^ S_in + M_b U + M_k V
//   S_out = (prod of all gates)[K] S_in + B^^T U + K^^T V
//
// The system is solved row after row. A series for its inverse would not do: for unit keys that are
// alike and beta up to 2 its terms grow where the solution does not.

#include "../../../simd/triangular.hpp"
#include "../key_gate/forward.hpp"
#include "steps.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, transition Moves>
class corrected_gate {
 public:
  static constexpr bool low_rank = Moves == transition::low_rank;
  /// Rows that read states, q and p, and that are written under, k or b and k.
  static constexpr index_t readers = 2, writers = low_rank ? 2 : 1;
  static constexpr readout p_reads = low_rank ? readout::exclusive : readout::inclusive;

  corrected_gate() = default;
  corrected_gate(arena& scratch, const matrix_shape& n, index_t tokens)
      : decayed_(scratch, n, tokens, readers, writers) {
    u_ = scratch.take<C>(writers * tokens * n.value_pitch);
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

  /// Of q or p with what U is written under, or V with transition::low_rank.
  decayed_subchunks<C, false> q_and(index_t tokens, index_t writer = 0) const {
    return decayed_.of(tokens, 0, writer);
  }
  decayed_subchunks<C, false> p_and(index_t tokens, index_t writer = 0) const {
    return decayed_.of(tokens, 1, writer);
  }
  /// [writer][token][value_pitch]: U, and with transition::low_rank V behind it
  C* u() const { return u_; }
  void begin(const token_chunk<C>& c) const {
    const index_t size = c.tokens * c.x.n.value_pitch;
    if (low_rank) copy_numbers(u_ + size, static_cast<const C*>(c.x.v), size);
  }

  /// q^, unless they are of no use, and p^ of subchunk r, and what they make of every writer's keys
  /// there. Returns whether all of it was divided; backward asks for that, and for the inverses of
  /// the gates' products.
  template <bool Queries = true>
  bool set_products(const token_chunk<C>& c, index_t r, C* inverse = nullptr) const {
    const index_t divided = low_rank || inverse != nullptr ? divide<Queries>(c, r, inverse) : 0;
    if (divided == tokens_in_subchunk(c.tokens, r)) return true;
    if (divided > 0) decayed_.put_aside(c.tokens, r, divided);
    for (index_t w = 0; w < writers; ++w) {
      if (Queries)
        q_and(c.tokens, w).set(keys_in_tiles<C, false>(with_keys(c.x, c.x.q, w)), c.tokens, r);
      const auto decayed = p_and(c.tokens, w);
      decayed.set(keys_in_tiles<C, false, p_reads>(with_keys(c.x, c.x.p, w)), c.tokens, r);
      for (index_t t = 0; low_rank && t < subchunk_tokens; ++t)  // p does not read its own token
        decayed.scores_of(r)[t * subchunk_tokens + t] = C(0);
    }
    if (divided > 0) decayed_.put_back(c.tokens, r, divided);
    return false;
  }
  /// to[token][value_pitch] = what a reader's rows of subchunk r read of the subchunks before it,
  /// if there are any. The rows decay on to the chunk's first token; returns them as a left
  /// operand.
  auto read_subchunks(const token_chunk<C>& c, index_t r, C* rows, C* transposed, C* to) const {
    const matrix_shape& n = c.x.n;
    const index_t count = tokens_in_subchunk(c.tokens, r);
    written_values<C> written[std::size_t{writers}];
    for (index_t w = 0; w < writers; ++w)
      written[w] = {q_and(c.tokens, w).k, u_ + w * c.tokens * n.value_pitch};
    if (r > 0) fill(to, count * n.value_pitch, C(0));
    read_earlier_subchunks<false>(decayed_, n, c.tokens, r, rows, written, to, across_);
    return left_of_products(static_cast<const C*>(rows), count, n, transposed);
  }
  /// A panel of U of subchunk r from column j on. In its place is what p read of the subchunks
  /// before.
  template <class Queries>
  void write_values(const token_chunk<C>& c, index_t r, index_t registers, index_t j, Queries p,
                    prefetching ahead) const {
    using P = simd::pack<C>;
    const matrix_shape& n = c.x.n;
    const index_t count = tokens_in_subchunk(c.tokens, r), vp = n.value_pitch;
    const index_t columns = registers * simd::lanes<C>, at = r * subchunk_tokens * vp + j;
    const C* const v = c.x.v + at;
    C* const u = u_ + at;
    const auto set = [&](auto finish) {
      // [tokens, K] x [K, registers]
      simd::product_of_panel<C>(registers, count, n.rows, p, {c.state_in + j, n.state_pitch},
                                {u, vp}, finish, ahead);
    };
    if constexpr (low_rank) {
      add_scores(r == 0, count, columns, p_and(c.tokens, 1).scores_of(r), v, u, vp);
      set([u, vp](index_t t, index_t i, P sum) { return -(simd::load(u + t * vp + i) + sum); });
    } else if (r == 0) {
      set([v, vp](index_t t, index_t i, P sum) { return simd::load(v + t * vp + i) - sum; });
    } else {
      set([u, v, vp](index_t t, index_t i, P sum) {
        return simd::load(v + t * vp + i) - (simd::load(u + t * vp + i) + sum);
      });
    }
    const C* const scores = p_and(c.tokens).scores_of(r);
    simd::solve_unit_lower<C>(count, columns, simd::by_columns<C>(scores, subchunk_tokens),
                              {u, vp});
  }
  C* p_transposed() const { return p_transposed_; }
  /// What is not finite of o and S_out is taken from here.
  void token_by_token(const token_chunk<C>& c, C* state_out) const {
    const matrix_shape& n = c.x.n;
    matrix_tiles<C> exact = c.x;
    exact.o = exact_o_;
    copy_numbers(exact_state_, c.state_in, n.part_size());
    fill(exact_state_ + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
    corrected_steps<Moves>(exact, c.tokens, exact_state_, n.state_pitch);
    replace_non_finite(c.x.o, exact_o_, c.tokens * n.value_pitch);
    if (state_out != nullptr) replace_non_finite_state(state_out, exact_state_, n);
  }

 private:
  // The tiles with a reader's rows as q and a writer's as k.
  static matrix_tiles<C> with_keys(const matrix_tiles<C>& x, C* rows, index_t writer) {
    matrix_tiles<C> tiles = x;
    tiles.q = rows;
    tiles.own = x.k;  // p reads none: its scores are set to 0
    if (low_rank && writer == 0) tiles.k = x.b;
    return tiles;
  }

  // Forward one writer gains nothing by it (K = V = 128, gated_delta_net: 1 % slower; rwkv7, two
  // writers, K = V = 64, H 12: 7.4 ms for 8.3; AVX-512, Zen 5).
  template <bool Queries>
  index_t divide(const token_chunk<C>& c, index_t r, C* inverse) const {
    const matrix_tiles<C>& x = c.x;
    const index_t at = r * subchunk_tokens * x.n.rows;
    const auto from =
        [&]<std::size_t Readers>(pairs_in_tiles<C, Readers, std::size_t{writers}> pairs) {
          if constexpr (low_rank) pairs.k[0] = x.b + at;
          pairs.k[writers - 1] = x.k + at;
          pairs.gates = x.a + at;
          return pairs;
        };
    if constexpr (Queries)
      return decayed_.template divide<readout::inclusive, p_reads>(
          from.template operator()<2>({{x.q + at, x.p + at}, {}, nullptr}), c.tokens, r, 0,
          inverse);
    else
      return decayed_.template divide<p_reads>(
          from.template operator()<1>({{x.p + at}, {}, nullptr}), c.tokens, r, 1, inverse);
  }

  // to += scores x values of a subchunk, or set to that where it is the first to come.
  static void add_scores(bool first, index_t count, index_t columns, const C* scores,
                         const C* values, C* to, index_t pitch) {
    const auto left = simd::by_columns<C>(scores, subchunk_tokens);
    // [tokens, tokens before] x [tokens before, V]
    if (first)
      simd::set_lower_product<C>(count, columns, left, {values, pitch}, {to, pitch});
    else
      simd::add_lower_product<C>(count, columns, left, {values, pitch}, {to, pitch});
  }
  // S_out, if there is room for it, and with Outputs o. False where one of them is not finite.
  template <bool Outputs>
  bool in_products(const token_chunk<C>& c, C* state_out) const {
    const matrix_tiles<C>& x = c.x;
    const matrix_shape& n = x.n;
    const index_t subchunks = subchunks_of(c.tokens), vp = n.value_pitch;
    const prefetching ahead{c.memory};
    c.memory->begin(panels_of<C>(n) *
                    ((Outputs ? 2 : 1) * simd::row_blocks(c.tokens) + simd::row_blocks(n.rows)));
    begin(c);
    const auto q_decayed = q_and(c.tokens), p_decayed = p_and(c.tokens);
    const state_update<C, false> update{
        n, writers * c.tokens, q_decayed.k, u_, q_decayed.gates(), c.state_in, state_out, !Outputs};
    simd::pack<C> watch(0);
    for (index_t r = 0; r < subchunks; ++r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
      C *const u = u_ + first * vp, *const o = x.o + first * vp;
      set_products<Outputs>(c, r);
      const auto p = read_subchunks(c, r, p_decayed.q_of(r), p_transposed_, u);
      auto q = p;
      if (Outputs) q = read_subchunks(c, r, q_decayed.q_of(r), q_transposed_, o);
      const bool last = r + 1 == subchunks;
      if (last) q_decayed.to_chunk_end(x, c.tokens);
      simd::for_each_panel<C>(vp, [&](index_t j, index_t registers) {
        const index_t columns = registers * simd::lanes<C>;
        write_values(c, r, registers, j, p, ahead);
        if (Outputs) {
          for (index_t w = 0; w < writers; ++w)
            add_scores(r + w == 0, count, columns, q_and(c.tokens, w).scores_of(r),
                       u + w * c.tokens * vp + j, o + j, vp);
          watch += read_state(registers, n, count, q, c.state_in + j, o + j, ahead);
        }
        if (last && state_out != nullptr) watch += update.panel(registers, j, ahead);
      });
    }
    return state_finite(watch, static_cast<const C*>(state_out), n);
  }
  decayed_subchunks<C, false> decayed_{};  // of q and p with every writer
  C* u_ = nullptr;
  C* across_ = nullptr;                                  // [s][t]: scores between two subchunks
  C *q_transposed_ = nullptr, *p_transposed_ = nullptr;  // [rows][tokens], of a subchunk
  C *exact_state_ = nullptr, *exact_o_ = nullptr;        // of the token by token form
};
static_assert(chunk_kernel<corrected_gate<float, transition::corrected>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
