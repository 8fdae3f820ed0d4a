#pragma once
// The surrogate attention map P of a lowered recurrence, a warp a column: what token s writes under
// its key goes through the tokens after it as a state does,
//
//   x = k_s      P_ss = q_s x      and for t > s   x = a_t x,  x = x - k_t (p_t x),  P_ts = q_t x
//
// the second only with a corrected transition; with transition::low_rank p_t reads x before the
// gate, and b_t stands for k_t. With readout::exclusive P_ss = q_s own_s, and other
// queries read x before their gate. The warp makes the token stages that it meets.

#include "../../operands/map_place.hpp"
#include "../../operands/token_cursor.hpp"
#include "../tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, class Map>
struct attention_map_columns {
  using C = state_t<T>;
  static constexpr bool corrected = R::form.moves != transition::diagonal,
                        low_rank = R::form.moves == transition::low_rank,
                        exclusive = R::form.reads == readout::exclusive;

  problem_of<R, T> p;
  Map map;
  time_split split;
  int block_threads = tuned.block_threads;

  attention_map_columns(const problem_of<R, T>& of, const Map& to)
      : p(of), map(to), split(of.n, of.offsets, of.n.time) {
    while (block_threads > warp_threads && shared_bytes() > tuned.map_shared_bytes)
      block_threads /= 2;
  }
  index_t keys_a_lane() const { return ceil_divide(p.n.keys, warp_threads); }
  index_t blocks() const {
    return ceil_divide(p.n.batch * p.n.heads * p.n.time * warp_threads, threads());
  }
  int threads() const { return block_threads; }
  int shared_bytes() const { return shared_size<C>(keys_a_lane() * block_threads); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto x = block.template shared<C>(ceil_divide(p.n.keys, warp_threads) * block.threads());
    const index_t column = (block.index() * block.threads() + block.thread()) / warp_threads;
    if (column >= p.n.batch * p.n.heads * p.n.time) return;
    const index_t s = column % p.n.time, head = column / p.n.time % p.n.heads,
                  batch = column / p.n.time / p.n.heads;
    const index_t sequence = split.sequence_at(batch, s);
    const index_t last = sequence < 0 ? s : split.tokens_of(sequence).last;
    const int lane = block.thread() % warp_threads;
    const auto of_head = matrix::head_operands(p, batch, head);
    const index_t to = batch * map.stride[0] + head * map.stride[1] + s * map.stride[map.rank - 1],
                  row = map.stride[map.rank - 2];
    for (index_t t = lane; t < p.n.time; t += warp_threads)
      if (t < s || t >= last) put_real(map, to + t * row, C(0));
    for (index_t t = s; t < last; ++t) {
      const token_cursor<C, Block> at{block, t, p.n.keys};
      const auto token = stages<R>::token(of_head, at, token_weight<C>{});
      const auto keys = [&](index_t key) {
        return stages<R>::keys(of_head, at.at_key(key), token);
      };
      const auto sum_over_keys = [&](const auto& f) {  // f(key, its place in x)
        index_t place = block.thread();
        C sum = 0;
        for (index_t key = lane; key < p.n.keys; key += warp_threads, place += block.threads())
          sum = sum + f(key, place);
        for (int m = warp_threads / 2; m > 0; m /= 2) sum = sum + block.shuffle_xor(sum, m);
        return sum;
      };
      C read = 0;
      if (!exclusive && t > s)
        read = sum_over_keys([&](index_t key, index_t place) {
          const auto here = keys(key);
          const C before = x[place], after = decayed(C(here.gate), before);
          x[place] = after;
          if constexpr (corrected)
            return here.p * (low_rank ? before : after);
          else
            return C(0);
        });
      const C sum = sum_over_keys([&](index_t key, index_t place) {
        const auto here = keys(key);
        if constexpr (exclusive) {
          const C seen = t == s ? C(here.own) : C(x[place]);
          x[place] = t == s ? C(here.k) : decayed(C(here.gate), seen);
          return C(here.q) * seen;
        } else {
          C next = t == s ? C(here.k) : C(x[place]);
          if constexpr (low_rank) {
            if (t > s) next = fma(-C(here.b), read, next);
          } else if constexpr (corrected) {
            if (t > s) next = fma(-C(here.k), read, next);
          }
          x[place] = next;
          return C(here.q) * next;
        }
      });
      if (lane == 0) put_real(map, to + t * row, sum);
    }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
