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
      : decays_(forward.decays()), pairs_(scratch, n, tokens, decays_, 2), adjoint_(adjoint) {
    rows_ = scratch.take<C>(2 * tokens * n.rows);
    d_read_ = scratch.take<C>(2 * tokens * n.value_pitch);
    spare_g_ = scratch.take<C>(n.state_size());
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

  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_shape& n = c.x.n;
    const index_t subchunks = subchunks_of(c.tokens), kp = n.rows, vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    C* const d_read = d_read_ + c.tokens * vp;  // behind dO
    copy_numbers(d_read_, static_cast<const C*>(d.d_o), c.tokens * vp);
    const state_reader<C> readers[] = {{c.x.q, d_read_, d.dq}, {c.x.p, d_read, d.dp, false}};
    pairs_.begin(c, readers);
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

  head_decays<C> decays_{};
  head_pairs_adjoint<C> pairs_{};
  key_gates_adjoint adjoint_{};  // the way token by token
  C* rows_ = nullptr;            // [reader][token][rows]: q, and p behind it
  C* d_read_ = nullptr;          // [reader][token][value_pitch]: dO, and d behind it
  C* spare_g_ = nullptr;         // where g_in goes next
};
static_assert(chunk_adjoint<corrected_head_gate_adjoint<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
