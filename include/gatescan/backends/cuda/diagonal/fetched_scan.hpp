#pragma once
// Outputs of many channels in one pass over memory. A block goes through the time of 32 channels, a
// warp a chunk of tokens: its threads find what their chunks make of the state, tell the other
// warps, and go on from what the chunks before them made. What the next chunks need is on its way
// to shared memory meanwhile.

#include "thread_tokens.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

/// Formats whose numbers an asynchronous copy can bring: 4 or 8 bytes.
template <class T>
concept fetchable = sizeof(storage_t<T>) >= 4 && std::is_same_v<storage_t<T>, gate_t<T>>;

// As segment_scan: outputs, final states, and states at the starts of chunks.
template <class R, class T, bool IsComplex>
struct fetched_scan : token_program<R, T, IsComplex> {
  static constexpr needs of_beside = needs::state;
  using base = token_program<R, T, IsComplex>;
  using base::thread_tokens;
  using typename base::C, typename base::E, typename base::S, typename base::W,
      typename base::channel, typename base::loaded, typename base::numbers, typename base::place;
  scratch_array<W> states;  // at the starts of segments, where time is split
  operand<S> out;
  operand<C> final_state;
  scratch_array<E> kept{};

  int threads() const { return block_threads; }
  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const {
    return shared_size<S>(room_size) + shared_size<W>(4 * block_threads) +
           shared_size<int>(2 * block_threads);
  }

  /// 32 channels a block.
  static channel_map map_of(const sizes& n) { return {n, 1, true, warp_threads}; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot();
    const segment s = this->split.at(block.index() / a_slot);
    const int lane = block.thread() % warp_threads, warp = block.thread() / warp_threads;
    channel_thread thread = this->map.at(block.index() % a_slot, lane);
    const bool stores = thread.active;
    thread.active = stores && warp == 0;
    const channel keys(this->p.x, thread, s.batch, this->map);
    const auto room = block.template shared<S>(room_size);
    const auto made = block.template shared<W>(4 * block_threads);
    const auto resets = block.template shared<int>(2 * block_threads);
    registers<W, 1> h;  // before the chunks of all warps
    if (states.first != nullptr)
      this->load_row(states, s.slot, thread, keys, h);
    else
      this->load_state(this->p.initial_state, s.sequence, thread, keys, h);
    const operand<S> to = out.of_head(s.batch, thread.head, thread.value);
    index_t fetched = s.tokens.first + warp * thread_tokens;  // of this warp, not on its way yet
    int next_room = 0, this_room = 0, turn = 0;
    const auto fetch = [&] {
      fetch_chunk(block, keys, room, next_room, fetched, s.tokens.last);
      block.close_fetches();
      fetched += tile_tokens;
      next_room = next_room + 1 == rooms ? 0 : next_room + 1;
    };
    for (int i = 0; i < rooms - 1; ++i) fetch();
    for (index_t t = s.tokens.first; t < s.tokens.last; t += tile_tokens) {
      const index_t mine = t + warp * thread_tokens;
      const int count = count_at(mine, s);
      block.template wait_for_fetches<rooms - 2>();
      const loaded x = taken(keys, room, this_room, block.thread(), count);
      numbers gates, inputs;
      tell(made, resets, turn, block.thread(),
           base::template own_step<false>(x, count, gates, inputs));
      block.sync();
      const W before = h[0];
      W in = before;
      for (int w = 0; w < warps; ++w) {
        if (w == warp) in = h[0];
        h[0] = told(made, resets, turn, w * warp_threads + lane).of(h[0]);
      }
      if (!is_finite(number_cast<E>(in)) || !is_finite(number_cast<E>(h[0])))
        one_by_one(keys, room, this_room, s, t, warp, lane, before, in, h[0]);
      fetch();
      this_room = this_room + 1 == rooms ? 0 : this_room + 1;
      turn = 1 - turn;
      E state = number_cast<E>(in);
      if (kept.first != nullptr && stores && count > 0)
        kept.store(this->split.chunk_row(s, mine, thread_tokens), 0, thread.channel, state);
      if (!out.given || !stores) continue;
      index_t o = mine * to.time;
      base::template for_tokens<false>(count, [&](int i) {
        state = base::next(gates[i], inputs[i], state);
        const place at{i};
        store_number(to, o, R::output(x, at, R::values(x, at), state));
        o += to.time;
      });
    }
    if (final_state.given && s.closes) this->store_state(final_state, s.sequence, thread, keys, h);
  }

 private:
  static constexpr int block_threads = tuned.block_threads, warps = block_threads / warp_threads;
  static constexpr int tile_tokens = warps * thread_tokens;
  static constexpr int rooms = tuned.fetched_chunks;  // of a chunk each
  static constexpr int planes = IsComplex ? 2 : 1;
  static constexpr int operand_count() {
    int n = 0;
    R::operands([&](const char*, const axes&, presence) { ++n; });
    return n;
  }
  static constexpr int numbers_a_token = operand_count() * planes;
  static constexpr int room_size = rooms * numbers_a_token * thread_tokens * block_threads;

  GATESCAN_HD static int place_in(int room, int number, int thread) {
    return (room * numbers_a_token + number) * (thread_tokens * block_threads) + thread;
  }
  GATESCAN_HD static int count_at(index_t t, const segment& s) {
    return t < s.tokens.last ? s.tokens.count_from(t, thread_tokens) : 0;
  }
  /// Tokens t, t + 1, ... before `last`.
  template <class Block, class Room>
  GATESCAN_HD static void fetch_chunk(Block& block, const channel& keys, const Room& room, int into,
                                      index_t t, index_t last) {
    const int left = t < last ? token_range{t, last}.count_from(t, thread_tokens) : 0;
    int number = 0;
    R::operands(
        [&](const char*, const axes&, presence, const auto& from) {
          const int to = place_in(into, number, block.thread());
          number += planes;
          if (!from.given || from.time == 0) return;
          const auto bring = [&](const S* first, int plane) {
            const S* at = first + t * from.time;
            const int place = to + plane * thread_tokens * block_threads;
            if (left == thread_tokens) {
              unrolled<thread_tokens>([&](int i) {
                block.fetch(room, place + i * block_threads, at);
                at += from.time;
              });
            } else {
              for (int i = 0; i < left; ++i, at += from.time)
                block.fetch(room, place + i * block_threads, at);
            }
          };
          bring(from.re, 0);
          if constexpr (IsComplex)
            if (from.im != nullptr) bring(from.im, 1);
        },
        keys.x);
  }
  /// What a thread's tokens have.
  template <class Room>
  GATESCAN_HD loaded taken(const channel& keys, const Room& room, int from_room, int thread,
                           int count) const {
    loaded x = this->nothing_loaded;
    int number = 0;
    R::operands(
        [&](const char*, const axes&, presence, const auto& from, auto& to) {
          const int here = place_in(from_room, number, thread);
          number += planes;
          if (!from.given) return;
          const auto take = [&](const S* first, int plane, auto& numbers_of) {
            if (from.time == 0) {
              for (C& of_all : numbers_of) of_all = convert<C>(*first);
              return;
            }
            base::template for_tokens<false>(count, [&](int i) {
              numbers_of[i] =
                  convert<C>(S(room[here + (plane * thread_tokens + i) * block_threads]));
            });
          };
          take(from.re, 0, to.re);
          if constexpr (IsComplex)
            if (from.im != nullptr) take(from.im, 1, to.im);
        },
        keys.x, x);
    return x;
  }

  // A thread's step, for those that go on from it: in two places by turns, so that one barrier is
  // enough.
  template <class Steps, class Resets>
  GATESCAN_HD static void tell(const Steps& steps, const Resets& resets, int turn, int thread,
                               const state_step<W>& step) {
    const int at = turn * 2 * block_threads + thread;
    steps[at] = step.product;
    steps[at + block_threads] = step.local;
    resets[turn * block_threads + thread] = step.reset;
  }
  template <class Steps, class Resets>
  GATESCAN_HD static state_step<W> told(const Steps& steps, const Resets& resets, int turn,
                                        int thread) {
    const int at = turn * 2 * block_threads + thread;
    const W product = steps[at], local = steps[at + block_threads];
    return {product, local, resets[turn * block_threads + thread] != 0};
  }
  // Inf or NaN: every token of the warps' chunks as the recurrence stands, where a reset
  // is exact and nothing overflows that the definition does not overflow. What is finite stays.
  template <class Room>
  GATESCAN_HD void one_by_one(const channel& keys, const Room& room, int this_room,
                              const segment& s, index_t t, int warp, int lane, W before, W& in,
                              W& end) const {
    E state = number_cast<E>(before);
    for (int w = 0; w < warps; ++w) {
      if (w == warp && !is_finite(number_cast<E>(in))) in = number_cast<W>(state);
      const int count = count_at(t + w * thread_tokens, s);
      const loaded x = taken(keys, room, this_room, w * warp_threads + lane, count);
      base::template for_tokens<false>(count, [&](int i) {
        const place at{i};
        const auto values = R::values(x, at);
        state = base::next(R::gate(x, at, values), values.v, state);
      });
    }
    if (!is_finite(number_cast<E>(end))) end = number_cast<W>(state);
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
