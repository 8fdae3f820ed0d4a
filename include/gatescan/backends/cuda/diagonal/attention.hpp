#pragma once
// o by full surrogate attention, P_ts = sum_n q_t[n] k_s[n] prod_{j=s+1..t} a_j[n]: for every token
// and channel a thread walks back through the sequence with the product of the gates.

#include "program_base.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

template <class R, class T, bool IsComplex, int Keys>
struct attend : program_base<R, T, IsComplex, Keys> {
  using base = program_base<R, T, IsComplex, Keys>;
  using channel = typename base::channel;
  using C = typename base::C;
  using E = typename base::E;
  using W = typename base::W;
  scratch_array<E> parts;  // o: [batch and token]

  index_t blocks_a_token() const { return ceil_divide(this->map.channels(), threads()); }
  index_t blocks() const { return parts.rows * blocks_a_token(); }
  int threads() const { return 128; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t channels = this->map.channels();
    const index_t a_token = (channels + block.threads() - 1) / block.threads();
    const index_t row = block.index() / a_token, batch = row / this->split.time;
    const index_t t = row % this->split.time;
    const index_t sequence = this->split.sequence_at(batch, t);
    channel_thread thread;
    thread.channel = block.index() % a_token * block.threads() + block.thread();
    if (thread.channel >= channels || sequence < 0) return;
    thread.head = thread.channel / this->map.values,
    thread.value = thread.channel % this->map.values;
    const index_t first = this->split.first_token(sequence);
    E o = number_cast<E>(0);
    for (thread.key = 0; thread.key < this->map.keys; thread.key += Keys)
      o = o + scores(channel(this->p.x, thread, batch, one_lane()), thread, sequence, first, t);
    if (!is_finite(o)) {
      o = number_cast<E>(0);
      for (thread.key = 0; thread.key < this->map.keys; thread.key += Keys)
        o = o + stepped_through(channel(this->p.x, thread, batch, one_lane()), thread, sequence,
                                first, t);
    }
    parts.store(row, 0, thread.channel, o);
  }

 private:
  GATESCAN_HD channel_map one_lane() const {
    channel_map m = this->map;
    m.lanes = 1;
    return m;
  }
  GATESCAN_HD E scores(const channel& keys, const channel_thread& thread, index_t sequence,
                       index_t first, index_t t) const {
    registers<E, Keys> query;
    E sum = number_cast<E>(0);
    for (int n = 0; n < Keys; ++n)
      if (keys.holds(n)) query[n] = keys.read_out(keys.cursor_at(t, n), number_cast<E>(1), sum);
    for (index_t s = t; s >= first; --s) {
      const auto w = R::values(keys.x, keys.cursor_at(s));
      for (int n = 0; n < Keys; ++n) {
        if (!keys.holds(n)) continue;
        const typename channel::cursor at = keys.cursor_at(s, n);
        sum = fma(query[n], number_cast<E>(keys.input(at, w)), sum);
        query[n] = query[n] * R::gate(keys.x, at, w);
      }
    }
    registers<W, Keys> in;
    this->load_state(this->p.initial_state, sequence, thread, keys, in);
    for (int n = 0; n < Keys; ++n)
      if (keys.holds(n)) sum = fma(query[n], number_cast<E>(in[n]), sum);
    return sum;
  }
  // Inf or NaN: token by token from the start, where resets are exact.
  GATESCAN_HD E stepped_through(const channel& keys, const channel_thread& thread, index_t sequence,
                                index_t first, index_t t) const {
    registers<W, Keys> in;
    registers<E, Keys> h;
    E sum = number_cast<E>(0);
    this->load_state(this->p.initial_state, sequence, thread, keys, in);
    for (int n = 0; n < Keys; ++n) h[n] = number_cast<E>(in[n]);
    for (index_t s = first; s <= t; ++s) {
      const auto w = R::values(keys.x, keys.cursor_at(s));
      for (int n = 0; n < Keys; ++n)
        if (keys.holds(n)) h[n] = keys.next(s, n, w, h[n]);
    }
    for (int n = 0; n < Keys; ++n)
      if (keys.holds(n)) sum = keys.read_out(keys.cursor_at(t, n), h[n], sum);
    return sum;
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
