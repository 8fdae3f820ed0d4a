#pragma once
// The gradients of q, k and the gates of one key in a chunk by the recurrence itself: a thread
// walks the states forward and their gradients back, value after value. For chunks where the fast
// form met something that is not finite.

#include "chunk_state.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// Which state the queries of a pass read: after their token wrote, or before, its gate counting or
/// not.
enum class query_reads { own_token, after_gate, before_gate };

/// A number a token and key each.
template <class Array>
struct replay_memory {
  Array state, d_q, d_k, d_gate;
};

/// Token t's numbers of the key lie at t * pitch + column, imaginary parts `plane` further on.
template <class R, class T, query_reads Reads, class Array>
GATESCAN_HD void replay_keys(const problem_of<R, T>& p, const typename tile_config<R, T>::fields& x,
                             const segment& chunk, index_t head, index_t key,
                             const stored_states<R, T>& states, const stored_states<R, T>& adjoints,
                             const output_gradient<R, T>& d_o, const replay_memory<Array>& w,
                             int pitch, int column, int plane) {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using E = typename config::E;
  const auto head_d_out = d_o.d_out.of_head(chunk.batch, head, 0);
  const int count = static_cast<int>(chunk.tokens.count());
  const auto value_at = [&](int t, index_t j) -> C {
    return R::values(x, typename config::cursor{0, chunk.tokens.first + t, 0, 0, j}).v;
  };
  const auto d_out_at = [&](int t, index_t j) -> C {
    return d_o(x, head_d_out, chunk.batch, head, chunk.tokens.first + t, j);
  };
  const auto keys_at = [&](int t) {
    return R::keys(x, typename config::cursor{0, chunk.tokens.first + t, 0, key, 0});
  };
  const auto put = [&](const Array& to, int t, E number) {
    put_number(to, t * pitch + column, plane, number);
  };
  const auto get = [&](const Array& from, int t) {
    return number_at<E>(from, t * pitch + column, plane);
  };
  for (int t = 0; t < count; ++t) put(w.d_q, t, E{}), put(w.d_k, t, E{}), put(w.d_gate, t, E{});
  for (index_t j = 0; j < p.n.values; ++j) {
    E state = number_at<E>(states.state(chunk.slot, head), key * p.n.values + j, states.plane());
    for (int t = 0; t < count; ++t) {
      put(w.state, t, state);
      const auto token = keys_at(t);
      const E before = decayed(token.gate, state);
      const E after = before + token.k * value_at(t, j);
      const E seen = Reads == query_reads::own_token    ? after
                     : Reads == query_reads::after_gate ? before
                                                        : state;
      state = after;
      put(w.d_q, t, get(w.d_q, t) + conj(seen) * d_out_at(t, j));
    }
    E d{};
    if (Reads == query_reads::own_token)
      d = number_at<E>(adjoints.state(chunk.slot, head), key * p.n.values + j, adjoints.plane());
    for (int t = count - 1; t >= 0; --t) {
      const auto token = keys_at(t);
      const E read = conj(token.q) * d_out_at(t, j);
      if (Reads == query_reads::own_token) d = d + read;
      put(w.d_k, t, get(w.d_k, t) + d * value_at(t, j));
      if (Reads == query_reads::after_gate) d = d + read;
      put(w.d_gate, t, get(w.d_gate, t) + d * conj(get(w.state, t)));
      d = decayed(conj(token.gate), d);
      if (Reads == query_reads::before_gate) d = d + read;
    }
  }
}

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
