#pragma once
// The corrected transition where keys have one gate a token, forward a chunk at a time: as
// forward.hpp, but decays are numbers, and rows of keys go into the products as they are.
//
//   D(t,s) = prod_{s<j<=t} a_j      b_t = prod_{j<=t} a_j      e_s = prod_{j>s} a_j
//
//   N_ts = (p_t . k_s) D(t,s), s < t       M_ts = (q_t . k_s) D(t,s), s <= t
//   (I + N) U = V - b P S_in               O = b Q S_in + M U
//   S_out = (prod of all gates) S_in + K^T (e U)

#include "../head_gate/decays.hpp"
#include "forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
class corrected_head_gate {
  using key_gates = corrected_gate<C, transition::corrected>;

 public:
  corrected_head_gate() = default;
  /// Works in the scratch of `gate`, too.
  corrected_head_gate(arena& scratch, const matrix_shape& n, index_t tokens, const key_gates& gate)
      : gate_(gate), decays_(scratch, n, tokens) {
    constexpr index_t side = subchunk_tokens;
    scores_ = scratch.take<C>(side * side), p_scores_ = scratch.take<C>(side * side);
    across_ = scratch.take<C>(side * side);
    q_transposed_ = scratch.take<C>(2 * n.rows * side);
    p_transposed_ = scratch.take<C>(n.rows * side);
  }

  void forward(const token_chunk<C>& c, C* state_out) const {
    with_exact_fallback([&] { return in_products<true>(c, state_out); },
                        [&] {
                          spread_gates(c.x, c.tokens);
                          gate_.token_by_token(c, state_out);
                        });
  }
  void advance(const token_chunk<C>& c, C* state_out) const {
    with_exact_fallback([&] { return in_products<false>(c, state_out); },
                        [&] { advance_token_by_token(c, state_out); });
  }
  void advance_token_by_token(const token_chunk<C>& c, C* state_out) const {
    spread_gates(c.x, c.tokens);
    fill(c.x.q, c.tokens * c.x.n.rows, C(0));  // may not have been read
    gate_.token_by_token(c, state_out);
  }

  const head_decays<C>& decays() const { return decays_; }
  C* u() const { return gate_.u(); }

 private:
  // S_out and, with Outputs, o. False where one of them is not finite.
  template <bool Outputs>
  bool in_products(const token_chunk<C>& c, C* state_out) const {
    using P = simd::pack<C>;
    const matrix_tiles<C>& x = c.x;
    const matrix_shape& n = x.n;
    const auto decays = held(decays_);
    constexpr index_t side = subchunk_tokens;
    const index_t subchunks = subchunks_of(c.tokens), rows = n.rows, vp = n.value_pitch;
    const prefetching ahead{c.memory};
    c.memory->begin(panels_of<C>(n) *
                    ((Outputs ? 2 : 1) * simd::row_blocks(c.tokens) + simd::row_blocks(rows)));
    const auto by_columns = [](const C* from) { return simd::by_columns<C>(from, side); };
    P watch(0);
    C before(1);  // product of the subchunks before
    for (index_t r = 0; r < subchunks; ++r) {
      const index_t first = r * side, count = tokens_in_subchunk(c.tokens, r);
      const C *q = x.q + first * rows, *p = x.p + first * rows, *k = x.k + first * rows;
      const C* const b = decays.from_start + first;
      C *const u = gate_.u() + first * vp, *const o = x.o + first * vp;
      const C total = decays.set_subchunk(x, first, count, before);
      if (Outputs && two_readers_in_halves<C> && count == side) {
        transpose_two_readers(rows, q, p, q_transposed_);
        multiply_two_readers(rows, k, static_cast<const C*>(q_transposed_), scores_, p_scores_);
      } else {
        multiply(n, count, p, k, p_transposed_, p_scores_);
        if (Outputs) multiply(n, count, q, k, q_transposed_, scores_);
      }
      decays.decay_scores(count, p_scores_, p_scores_);
      if (Outputs) decays.decay_scores(count, scores_, scores_);
      const C* written = x.v + first * vp;  // less what p reads of the subchunks before
      if (r > 0) {
        copy_numbers(u, written, count * vp);
        written = u;
        if (Outputs) fill(o, count * vp, C(0));
      }
      for (index_t earlier = 0; earlier < first; earlier += side) {
        // [tokens, K] x [K, subchunk], x [subchunk, V]
        const auto add = [&](const C* reader, C sign, C* to) {
          simd::dot_products<C>(count, side, rows, {reader, rows}, {x.k + earlier * rows, rows},
                                {across_, side});
          for (index_t s = 0; s < side; ++s)
            for (index_t t = 0; t < count; ++t)
              across_[s * side + t] *=
                  sign * decays.to_end[earlier + s] * decays.from_first(x, first, t);
          simd::add_product<C>(count, vp, side, by_columns(across_), {gate_.u() + earlier * vp, vp},
                               {to, vp});
        };
        add(p, C(-1), u);
        if (Outputs) add(q, C(1), o);
      }
      for (index_t s = 0; s < first; ++s) decays.to_end[s] *= total;
      before *= total;

      const bool last = r + 1 == subchunks;
      if (last) decays.set_gates(x, before);
      const state_update<C, false> update{
          n, c.tokens, x.k, decays.decayed_rows(), decays.gates(), c.state_in, state_out, !Outputs};
      const auto p_rows = left_of_products(p, count, n, p_transposed_, false);
      const auto q_rows = left_of_products(q, count, n, q_transposed_, false);
      simd::for_each_panel<C>(vp, [&](index_t j, index_t registers) {
        const index_t columns = registers * simd::lanes<C>;
        // [tokens, K] x [K, registers]
        simd::product_of_panel<C>(
            registers, count, rows, p_rows, {c.state_in + j, n.state_pitch}, {u + j, vp},
            [v = written + j, b, vp](index_t t, index_t i, P sum) {
              return simd::fma(P(-b[t]), sum, simd::load(v + t * vp + i));
            },
            ahead);
        simd::solve_unit_lower<C>(count, columns, by_columns(p_scores_), {u + j, vp});
        if (Outputs) {
          // [tokens, tokens before] x [tokens before, V]
          if (r == 0)
            simd::set_lower_product<C>(count, columns, by_columns(scores_), {u + j, vp},
                                       {o + j, vp});
          else
            simd::add_lower_product<C>(count, columns, by_columns(scores_), {u + j, vp},
                                       {o + j, vp});
          watch += simd::product_of_panel<C>(
              registers, count, rows, q_rows, {c.state_in + j, n.state_pitch}, {o + j, vp},
              [o = o + j, b, vp](index_t t, index_t i, P sum) {
                return simd::fma(P(b[t]), sum, simd::load(o + t * vp + i));
              },
              ahead);
        }
        if (!last || state_out == nullptr) return;
        decays.decay(n, c.tokens, gate_.u(), decays.to_end, j, columns);
        watch += update.panel(registers, j, ahead);
      });
    }
    return state_finite(watch, static_cast<const C*>(state_out), n);
  }
  // scores[s][t] = reader_t . k_s, s <= t, by way of the reader's rows transposed.
  static void multiply(const matrix_shape& n, index_t count, const C* reader, const C* k,
                       C* transposed, C* scores) {
    transpose_tokens(count, n.rows, reader, transposed);
    multiply_keys(n, count, k, static_cast<const C*>(transposed), index_t{subchunk_tokens}, scores);
  }

  key_gates gate_{};  // where U is, and the way token by token
  head_decays<C> decays_{};
  C *scores_ = nullptr, *p_scores_ = nullptr;            // [s][t], of a subchunk: M, N
  C* across_ = nullptr;                                  // [s][t]: between two subchunks
  C *q_transposed_ = nullptr, *p_transposed_ = nullptr;  // [rows][tokens], of a subchunk; or both
};
static_assert(chunk_kernel<corrected_head_gate<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
