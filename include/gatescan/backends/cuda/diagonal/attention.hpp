#pragma once
// o by full surrogate attention, P_ts = sum_n q_t[n] k_s[n] prod_{j=s+1..t} a_j[n]: for every token
// and channel a thread walks back through the sequence with the product of the gates.

#include "channel.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

template <class R, class T, bool IsComplex, int Keys>
struct attend : task<R, T, IsComplex, Keys> {
  using base = task<R, T, IsComplex, Keys>;
  using share = typename base::share;
  using C = typename base::C;
  using E = typename base::E;
  using W = typename base::W;
  table<E> parts;  // o: [batch and token]

  index_t blocks_a_token() const { return ceil_divide(this->map.channels(), threads()); }
  index_t blocks() const { return parts.rows * blocks_a_token(); }
  int threads() const { return 128; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t channels = this->map.channels();
    const index_t a_token = (channels + block.threads() - 1) / block.threads();
    const index_t row = block.index() / a_token, batch = row / this->cut.time;
    const index_t t = row % this->cut.time;
    const index_t sequence = this->cut.packed ? this->cut.sequence_of(t) : batch;
    lane l;
    l.channel = block.index() % a_token * block.threads() + block.thread();
    if (l.channel >= channels || sequence < 0) return;
    l.head = l.channel / this->map.values, l.value = l.channel % this->map.values;
    const index_t first = this->cut.first_token(sequence);
    E o = make<E>::from(0);
    for (l.key = 0; l.key < this->map.keys; l.key += Keys)
      o = o + scores(share(this->p.x, l, batch, one_lane()), l, sequence, first, t);
    if (!is_finite(o)) {
      o = make<E>::from(0);
      for (l.key = 0; l.key < this->map.keys; l.key += Keys)
        o = o + walked(share(this->p.x, l, batch, one_lane()), l, sequence, first, t);
    }
    parts.store(row, 0, l.channel, o);
  }

 private:
  GATESCAN_HD channel_map one_lane() const {
    channel_map m = this->map;
    m.lanes = 1;
    return m;
  }
  GATESCAN_HD E scores(const share& here, const lane& l, index_t sequence, index_t first,
                       index_t t) const {
    list<E, Keys> query;
    E sum = make<E>::from(0);
    for (int n = 0; n < Keys; ++n)
      if (here.holds(n)) query[n] = here.read_out(here.at(t, n), make<E>::from(1), sum);
    for (index_t s = t; s >= first; --s) {
      const auto w = R::values(here.x, here.at(s));
      for (int n = 0; n < Keys; ++n) {
        if (!here.holds(n)) continue;
        const typename share::spot at = here.at(s, n);
        sum = fma(query[n], make<E>::from(here.input(at, w)), sum);
        query[n] = query[n] * R::gate(here.x, at, w);
      }
    }
    list<W, Keys> in;
    this->load_state(this->p.initial_state, sequence, l, here, in);
    for (int n = 0; n < Keys; ++n)
      if (here.holds(n)) sum = fma(query[n], make<E>::from(in[n]), sum);
    return sum;
  }
  // Inf or NaN: token by token from the start, where resets are exact.
  GATESCAN_HD E walked(const share& here, const lane& l, index_t sequence, index_t first,
                       index_t t) const {
    list<W, Keys> in;
    list<E, Keys> h;
    E sum = make<E>::from(0);
    this->load_state(this->p.initial_state, sequence, l, here, in);
    for (int n = 0; n < Keys; ++n) h[n] = make<E>::from(in[n]);
    for (index_t s = first; s <= t; ++s) {
      const auto w = R::values(here.x, here.at(s));
      for (int n = 0; n < Keys; ++n)
        if (here.holds(n)) h[n] = here.next(s, n, w, h[n]);
    }
    for (int n = 0; n < Keys; ++n)
      if (here.holds(n)) sum = here.read_out(here.at(t, n), h[n], sum);
    return sum;
  }
};

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
