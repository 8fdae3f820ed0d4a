#pragma once
// Matrix states whose keys have one real gate a token, backward a chunk at a time: by pairs of
// queries and keys (pairs.hpp).

#include <utility>

#include "../key_gate/backward.hpp"
#include "forward.hpp"
#include "pairs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
class head_gate_adjoint {
 public:
  head_gate_adjoint() = default;
  /// Works in the scratch of `forward`, too.
  head_gate_adjoint(arena& scratch, const matrix_shape& n, index_t tokens,
                    const head_gate<C>& forward)
      : decays_(forward.decays()), pairs_(scratch, n, tokens, decays_), exact_(scratch, n, tokens) {
    spare_g_ = scratch.take<C>(n.state_size());
  }

  /// d.da has one number a token.
  C* backward(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g) {
    C* const g_in = std::exchange(spare_g_, g);
    with_exact_fallback([&] { return in_products(c, d, g, g_in); },
                        [&] {
                          spread_gates(c.x, c.tokens);
                          replace_gate_gradients(c.x.n, c.tokens, d.da,
                                                 exact_.backward(c, d, g, g_in));
                        });
    return g_in;
  }
  void retreat(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g, C* g_in) const {
    decays_.set_from_start(c.x, c.tokens);
    decays_.set_gates(c.x, decays_.from_start[c.tokens - 1]);
    incoming_gradient(c, d.d_o, g, g_in);
  }

 private:
  // False where a gradient is not finite.
  bool in_products(const token_chunk<C>& c, const matrix_gradients<C>& d, const C* g,
                   C* g_in) const {
    const matrix_shape& n = c.x.n;
    const index_t subchunks = subchunks_of(c.tokens), kp = n.rows, vp = n.value_pitch;
    c.memory->begin(products_backward<C>(n, subchunks));
    const state_reader<C> queries[] = {{c.x.q, d.d_o, d.dq}};
    pairs_.begin(c, queries);
    pairs_.with_state_in(c, queries);
    pairs_.with_state_out(c, g, c.x.v, d.dk);
    pairs_.values_with_state_out(c, g, d.dv);
    pairs_.template set_scores<true>(c, 0);
    for (index_t b = 0; b < subchunks; ++b) {
      for (index_t r = subchunks - 1; r >= b; --r) pairs_.add_values(c, 0, b, r, d.d_o, d.dv);
      pairs_.template keys_with_queries<true>(c, b, queries, d.dk);
    }
    pairs_.gate_gradients(c, g, d.da);
    const bool finite = incoming_gradient(c, d.d_o, g, g_in);
    return finite && all_finite(d.dq, c.tokens, kp, kp) && all_finite(d.dk, c.tokens, kp, kp) &&
           all_finite(d.da, 1, padded<C>(c.tokens), 0) && all_finite(d.dv, c.tokens, vp, vp);
  }

  // g_in from g, after set_from_start and set_gates; false where it is not finite.
  bool incoming_gradient(const token_chunk<C>& c, const C* d_o, const C* g, C* g_in) const {
    const matrix_tiles<C>& x = c.x;
    return state_update<C, false>{x.n,
                                  c.tokens,
                                  x.q,
                                  decays_.decayed(x.n, c.tokens, d_o, decays_.from_start),
                                  decays_.gates(),
                                  g,
                                  g_in}
        .all(prefetching{c.memory});
  }

  head_decays<C> decays_{};
  head_pairs_adjoint<C> pairs_{};
  exact_steps_adjoint<C, false> exact_{};
  C* spare_g_ = nullptr;  // where g_in goes next
};
static_assert(summarised_adjoint<head_gate_adjoint<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
