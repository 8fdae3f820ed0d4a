#pragma once
// The gradients of q, k and the gates of one key in a chunk by the recurrence itself: a thread
// walks the states forward and their gradients back, value after value. For chunks where the fast
// form met something that is not finite.

#include "summaries.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// put(t, gradients) and get(t) are the sums of a token, keep(t, state) and kept(t) a number a
/// token.
template <class R, class T, class Put, class Get, class Kept, class Keep>
GATESCAN_HD void replay_keys(const problem_of<R, T>& p,
                             const typename matrix_types<R, T>::fields& x, const chunk_place& here,
                             index_t head, index_t key, const chunk_states<R, T>& states,
                             const chunk_states<R, T>& adjoints, const output_gradient<R, T>& d_o,
                             Put put, Get get, Kept kept, Keep keep) {
  using kit = matrix_types<R, T>;
  using C = typename kit::C;
  using E = typename kit::E;
  const auto head_d_out = d_o.d_out.lane(here.batch, head, 0);
  const int count = static_cast<int>(here.tokens.count());
  const auto value_at = [&](int t, index_t j) -> C {
    return R::values(x, typename kit::at{0, here.tokens.first + t, 0, 0, j}).v;
  };
  const auto d_out_at = [&](int t, index_t j) -> C {
    return d_o(x, head_d_out, here.batch, head, here.tokens.first + t, j);
  };
  const auto keys_at = [&](int t) {
    return R::keys(x, typename kit::at{0, here.tokens.first + t, 0, key, 0});
  };
  for (int t = 0; t < count; ++t) put(t, keys_of<E>{E{}, E{}, E{}});
  for (index_t j = 0; j < p.n.values; ++j) {
    E state = number_at<E>(states.state(here.slot, head), key * p.n.values + j, states.plane());
    for (int t = 0; t < count; ++t) {
      keep(t, state);
      const auto token = keys_at(t);
      state = decayed(token.gate, state) + token.k * value_at(t, j);
      keys_of<E> g = get(t);
      g.q = g.q + conj(state) * d_out_at(t, j);
      put(t, g);
    }
    E d = number_at<E>(adjoints.state(here.slot, head), key * p.n.values + j, adjoints.plane());
    for (int t = count - 1; t >= 0; --t) {
      const auto token = keys_at(t);
      d = d + conj(token.q) * d_out_at(t, j);
      keys_of<E> g = get(t);
      g.k = g.k + d * value_at(t, j);
      g.gate = g.gate + d * conj(kept(t));
      put(t, g);
      d = decayed(conj(token.gate), d);
    }
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
