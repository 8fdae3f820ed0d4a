#pragma once
// The surrogate attention map P of a lowered recurrence, a warp a column: what token s writes under
// its key goes through the tokens after it as a state does,
//
//   x = k_s      P_ss = q_s x      and for t > s   x = a_t x,  x = x - k_t (p_t x),  P_ts = q_t x
//
// the second only with a corrected transition; with transition::low_rank p_t reads x before the
// gate, and b_t stands for k_t. With readout::exclusive P_ss = q_s own_s, and other
// queries read x before their gate. The warp makes the token stages that it meets. With a
// normaliser P_ts is divided by D(n_t), which a program before it finds:
//
//   n_t = q_t n      n = a_t n + k_t

#include <span>

#include "../../operands/map_place.hpp"
#include "../../operands/token_cursor.hpp"
#include "token_weights.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// D(n_t) of all tokens: a warp a sequence and head.
template <class R, class T>
struct attention_map_divisors {
  using C = state_t<T>;

  problem_of<R, T> p;
  time_split split;
  C* to;  // [batch][time][head]
  C* n;   // [sequence][head][key]

  index_t blocks() const {
    return ceil_divide(p.n.sequences * p.n.heads * warp_threads, threads());
  }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t item = (block.index() * block.threads() + block.thread()) / warp_threads;
    if (item >= p.n.sequences * p.n.heads) return;
    const index_t sequence = item / p.n.heads, head = item % p.n.heads,
                  batch = split.batch_of(sequence);
    const int lane = block.thread() % warp_threads;
    const auto x = matrix::head_operands(p, batch, head);
    C* const state = n + item * p.n.keys;
    const operand<const C>& first = p.initial_state.normaliser;
    for (index_t key = lane; key < p.n.keys; key += warp_threads)
      state[key] = first.given ? cursor<C, false>{sequence, 0, head, key, 0}(first) : C(0);
    const token_range all = split.tokens_of(sequence);
    for (index_t t = all.first; t < all.last; ++t) {
      const token_cursor<C, Block> at{block, t, p.n.keys};
      const auto token = stages<R>::token(x, at, p.weights.at(batch, t, head));
      const C sum = at.sum_over_keys([&](const auto& here) {
        const auto keys = stages<R>::keys(x, here, token);
        const C next = decayed(C(keys.gate), state[here.key]) + keys.k;
        state[here.key] = next;
        return keys.q * next;
      });
      if (lane == 0)
        to[(batch * p.n.time + t) * p.n.heads + head] = stages<R>::denominator(x, at, token, sum);
    }
  }
};

template <class R, class T, class Map>
struct attention_map_columns {
  using C = state_t<T>;
  static constexpr bool corrected = R::form.moves != transition::diagonal,
                        low_rank = R::form.moves == transition::low_rank,
                        exclusive = R::form.reads == readout::exclusive;

  problem_of<R, T> p;
  Map map;
  const C* divisors;  // [batch][time][head], with a normaliser
  time_split split;
  int block_threads = tuned.block_threads;

  attention_map_columns(const problem_of<R, T>& of, const Map& to, const C* by)
      : p(of), map(to), divisors(by), split(of.n, of.offsets, of.n.time) {
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
      const auto token = stages<R>::token(of_head, at, p.weights.at(batch, t, head));
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
      C sum = sum_over_keys([&](index_t key, index_t place) {
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
      if constexpr (R::form.normaliser)
        if (divisors != nullptr) sum = sum / divisors[(batch * p.n.time + t) * p.n.heads + head];
      if (lane == 0) put_real(map, to + t * row, sum);
    }
  }
};

/// The map, and before it what it needs of weights in log space and of a normaliser, in scratch of
/// the device's own.
template <class Device, class R, class T, class Map>
void write_attention_map_columns(const Device& gpu, problem_of<R, T> p, const Map& map) {
  using C = state_t<T>;
  const time_split split(p.n, p.offsets, p.n.time);
  C *divisors = nullptr, *n = nullptr;
  const auto lay_out = [&](arena& memory) {
    p.weights = take_token_weights<R, T>(memory, p.n);
    if (!R::form.normaliser || !p.normalised) return;
    divisors = memory.take<C>(row_count(p.n));
    n = memory.take<C>(p.n.sequences * p.n.heads * p.n.keys);
  };
  arena measure;
  lay_out(measure);
  const auto own = own_scratch(gpu, measure.bytes_needed());
  arena memory(std::span<std::byte>(own.get(), measure.bytes_needed()));
  lay_out(memory);
  if constexpr (has_log_weights<R>) launch(gpu, find_token_weights<R, T>{p, split, {}});
  if constexpr (R::form.normaliser)
    if (p.normalised) launch(gpu, attention_map_divisors<R, T>{p, split, divisors, n});
  launch(gpu, attention_map_columns<R, T, Map>(p, map, divisors));
}

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
