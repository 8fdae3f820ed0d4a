#pragma once
// The map of an average: P_ts is the weight of token s in what token t reads, by the sum of all and
// of the initial state's. A thread a token and channel goes back through the tokens before it, for
// the largest weight, for the sum, and to write.

#include "../operands/map_place.hpp"
#include "average.hpp"
#include "programs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace averages {

template <class R, class T, class Map>
struct attention_map_rows {
  using C = state_t<T>;
  using cursor = gpu::cursor<C, false>;
  using average = averages::average<C>;

  problem_of<R, T> p;
  Map map;
  time_split split;

  attention_map_rows(const problem_of<R, T>& of, const Map& to)
      : p(of), map(to), split(of.n, of.offsets, of.n.time) {}
  index_t blocks() const {
    return ceil_divide(p.n.batch * p.n.time * p.n.heads * p.n.values, threads());
  }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    index_t rest = block.index() * block.threads() + block.thread();
    if (rest >= p.n.batch * p.n.time * p.n.heads * p.n.values) return;
    const index_t value = rest % p.n.values, head = (rest /= p.n.values) % p.n.heads,
                  t = (rest /= p.n.heads) % p.n.time, batch = rest / p.n.time;
    const index_t sequence = split.sequence_at(batch, t);
    const index_t first = sequence < 0 ? t + 1 : split.first_token(sequence);
    auto x = p.x;
    R::operands([&](const char*, const axes&, presence, const auto& all,
                    auto& own) { own = all.of_head(batch, head, value); },
                p.x, x);
    const index_t row = batch * map.stride[0] + map_channel(head, value) +
                        t * map.stride[map.rank - 2],
                  column = map.stride[map.rank - 1];

    // by the token's own key: logarithms may be far from 0, their differences not
    const C key = R::log_weights(x, cursor{0, t, 0, 0, 0}).key,
            base = key == average::reset ? 0 : key;
    C largest = average::never;
    const C gates =
        back_through(x, first, t, base, [&](index_t, C w) { largest = larger(largest, w); });
    C all = 0;
    if (const auto& state = p.initial_state; state.given && sequence >= 0) {
      const cursor at{sequence, 0, head, 0, value};
      const C w = weight(gates, (at(state.log_scale) - base) + gates);
      largest = larger(largest, w);
      all = exp(w - largest) * at(state.normaliser);
    }
    const auto share = [&](C w) { return w == average::never ? C(0) : exp(w - largest); };
    back_through(x, first, t, base, [&](index_t, C w) { all = all + share(w); });
    for (index_t s = 0; s < p.n.time; ++s)
      if (s < first || s > t) put_real(map, row + s * column, C(0));
    back_through(x, first, t, base, [&](index_t s, C w) {
      put_real(map, row + s * column, unless_zero(all, share(w) / all));
    });
  }

 private:
  // a logarithm; `never` behind a reset
  GATESCAN_HD static C weight(C gates, C w) {
    return gates == average::reset ? C(average::never) : larger(C(average::never), w);
  }
  // f(s, logarithm of its weight, less base) from token t back to the first; returns that of all
  // gates
  template <class F>
  GATESCAN_HD static C back_through(const operands_of<R, T>& x, index_t first, index_t t, C base,
                                    F&& f) {
    C gates = 0;
    for (index_t s = t; s >= first; --s) {
      const auto logs = R::log_weights(x, cursor{0, s, 0, 0, 0});
      f(s, weight(gates, (logs.key - base) + (s == t ? logs.bonus : gates)));
      if (s < t) gates = gates + logs.gate;
    }
    return gates;
  }
  GATESCAN_HD index_t map_channel(index_t head, index_t value) const {
    if (map.rank == 4) return (head * p.n.values + value) * map.stride[1];
    return head * map.stride[1] + value * map.stride[2];
  }
};

}  // namespace averages
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
