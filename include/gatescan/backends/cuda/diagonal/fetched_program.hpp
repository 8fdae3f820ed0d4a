#pragma once
// What the programs share that go through all of time in one pass. A block has some neighbouring
// channels, a thread a run of neighbouring tokens of one of them, and a tile is what all threads
// have at a time. Threads tell those of the same channel what their runs make of a state, in the
// order of time or against it. What the next tiles need is on its way to shared memory meanwhile.

#include <cstdint>
#include <type_traits>

#include "thread_tokens.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

/// Formats whose operands an asynchronous copy can bring. Of 4 or 8 bytes, a number; of two bytes,
/// two neighbouring ones (lie_in_pairs).
template <class T>
concept fetchable = std::is_same_v<storage_t<T>, gate_t<T>>;
template <class T>
concept fetched_in_pairs = sizeof(storage_t<T>) == 2;

/// Whether channels 2i and 2i + 1 of an operand are the halves of an aligned word, at every token.
template <class S>
bool lies_in_pairs(const operand<S>& x, const sizes& n) {
  const auto aligned = [](const S* first) {
    return reinterpret_cast<std::uintptr_t>(first) % (2 * sizeof(S)) == 0;
  };
  return x.value == 1 && n.values % 2 == 0 && (x.batch | x.time | x.head) % 2 == 0 &&
         aligned(x.re) && aligned(x.im);
}
/// That of all operands that have tokens, and not if none is there (a plan's).
template <class R, class Operands>
bool lie_in_pairs(const Operands& all, const sizes& n) {
  int in_pairs = 0, otherwise = 0;
  R::operands(
      [&](const char*, const axes&, presence, const auto& x) {
        if (x.given && x.time != 0) ++(lies_in_pairs(x, n) ? in_pairs : otherwise);
      },
      all);
  return in_pairs > 0 && otherwise == 0;
}

template <class R>
constexpr int operands_of_tokens() {
  int n = 0;
  R::operands([&](const char*, const axes& a, presence) { n += a.has(axis::time) ? 1 : 0; });
  return n;
}

/// Back: with gradients of the output, and gradients of states are passed on. Carried: what is.
template <class R, class T, bool IsComplex, bool Back>
struct fetched_program : token_program<R, T, IsComplex> {
  using base = token_program<R, T, IsComplex>;
  using base::thread_tokens;
  using typename base::C, typename base::E, typename base::S, typename base::channel,
      typename base::loaded;
  using carried = std::conditional_t<Back, typename base::D, typename base::W>;
  using tokens = tokens_of_operand<C, IsComplex, thread_tokens>;

 private:
  static constexpr int block_threads = tuned.block_threads, planes = IsComplex ? 2 : 1;
  // a number of 2 bytes comes with the one beside it
  using slot = std::conditional_t<fetched_in_pairs<T>, std::uint32_t, S>;
  static constexpr int room_size =
      (operands_of_tokens<R>() + (Back ? 1 : 0)) * planes * thread_tokens * block_threads;
  static constexpr int step_bytes =
      shared_size<carried>(4 * block_threads) + shared_size<int>(2 * block_threads);
  static constexpr int rooms_that_fit =
      (tuned.most_shared_bytes - step_bytes) / (room_size * static_cast<int>(sizeof(slot)));

 public:
  // of a tile each
  static constexpr int wanted_rooms = Back ? tuned.fetched_tiles_back : tuned.fetched_tiles;
  static constexpr int rooms = rooms_that_fit < wanted_rooms ? rooms_that_fit : wanted_rooms;
  // back from three operands nvcc 13 has too few registers (rg_lru: 100 bytes and more in memory)
  static constexpr bool fits = rooms >= 2 && (!Back || operands_of_tokens<R>() <= 2);

  fetched_program() = default;
  explicit fetched_program(const typename base::base& shared) : base(shared) {}

  int threads() const { return block_threads; }
  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const { return shared_size<slot>(rooms * room_size) + step_bytes; }

  /// A warp has neighbouring channels; half a warp, where blocks would be too few.
  static channel_map map_of(const sizes& n) {
    channel_map map(n, 1, true, warp_threads);
    if (n.sequences * map.channel_blocks < tuned.multiprocessors) {
      map.block_threads /= 2;
      map.channel_blocks = ceil_divide(map.channels(), map.block_threads);
    }
    return map;
  }

 protected:
  /// Which channel of the block a thread has, and which run of a tile.
  struct seat {
    int lane, run, runs, width;
    GATESCAN_HD int of_run(int n) const { return n * width + lane; }
    GATESCAN_HD index_t tile() const { return static_cast<index_t>(runs) * thread_tokens; }
  };
  template <class Block>
  GATESCAN_HD seat seat_of(const Block& block) const {
    const int width = this->map.width();
    return {block.thread() % width, block.thread() / width, block_threads / width, width};
  }
  GATESCAN_HD static int count_at(index_t t, const segment& s) {
    return t < s.tokens.last ? s.tokens.count_from(t, thread_tokens) : 0;
  }

  /// Shared memory of a block: rooms of tiles, and steps of its threads in two places by turns, so
  /// that one barrier is enough.
  template <class Rooms, class Steps, class Resets>
  struct block_memory {
    Rooms rooms;
    Steps steps;
    Resets resets;

    GATESCAN_HD void tell(int turn, int thread, const state_step<carried>& step) const {
      const int at = turn * 2 * block_threads + thread;
      steps[at] = step.product;
      steps[at + block_threads] = step.local;
      resets[turn * block_threads + thread] = step.reset;
    }
    GATESCAN_HD state_step<carried> told(int turn, int thread) const {
      const int at = turn * 2 * block_threads + thread;
      const carried product = steps[at], local = steps[at + block_threads];
      return {product, local, resets[turn * block_threads + thread] != 0};
    }
  };
  template <class Block>
  GATESCAN_HD static auto memory_of(Block& block) {
    const auto rooms_of = block.template shared<slot>(rooms * room_size);
    const auto steps = block.template shared<carried>(4 * block_threads);
    const auto resets = block.template shared<int>(2 * block_threads);
    return block_memory<std::remove_const_t<decltype(rooms_of)>,
                        std::remove_const_t<decltype(steps)>,
                        std::remove_const_t<decltype(resets)>>{rooms_of, steps, resets};
  }

  /// The operands of a thread: its channel's, and the gradient of its output.
  struct own_operands {
    const channel& keys;
    operand<const S> d_out{};
    bool odd;  // the second of a pair

    GATESCAN_HD own_operands(const channel& of_channel, const channel_thread& thread)
        : keys(of_channel), odd(thread.value % 2 != 0) {}
  };
  /// Tokens t, t + 1, ..., `count` of them, to a room.
  template <class Block, class Memory>
  GATESCAN_HD static void fetch(Block& block, const own_operands& own, const Memory& memory,
                                int room, index_t t, int count) {
    for_each_plane(room, block.thread(), own, [&](const S* first, index_t by, int to) {
      if (by == 0) return;
      const S* at = first + t * by;
      const auto bring = [&](int i) {
        if constexpr (fetched_in_pairs<T>)
          block.fetch_pair(memory.rooms, to + i * block_threads, at - (own.odd ? 1 : 0));
        else
          block.fetch(memory.rooms, to + i * block_threads, at);
        at += by;
      };
      if (count == thread_tokens)
        unrolled<thread_tokens>(bring);
      else
        for (int i = 0; i < count; ++i) bring(i);
    });
    block.close_fetches();
  }
  /// What a thread's tokens have in a room; of_d_out is left as it is where there is none.
  template <bool Full, class Memory>
  GATESCAN_HD void take(const own_operands& own, const Memory& memory, int room, int thread,
                        int count, loaded& x, tokens& of_d_out) const {
    x = this->no_tokens();
    const auto put = [&](const S* first, index_t by, int from, auto& to) {
      if (by == 0) {
        for (C& of_all : to) of_all = convert<C>(*first);
        return;
      }
      base::template for_tokens<Full>(count, [&](int i) {
        to[i] = convert<C>(number_of(memory.rooms[from + i * block_threads], own.odd));
      });
    };
    int from = place_in(room, thread);
    const auto put_operand = [&](const auto& operand_of, auto& to) {
      put(operand_of.re, operand_of.time, from, to.re);
      if constexpr (IsComplex)
        if (operand_of.im != nullptr)
          put(operand_of.im, operand_of.time, from + thread_tokens * block_threads, to.im);
    };
    R::operands(
        [&](const char*, const axes& a, presence need, const auto& of_channel, auto& to) {
          if (need == presence::required || of_channel.given) put_operand(of_channel, to);
          if (a.has(axis::time)) from += planes * thread_tokens * block_threads;
        },
        own.keys.x, x);
    if constexpr (Back)
      if (own.d_out.given) put_operand(own.d_out, of_d_out);
  }
  /// f.operator()<whether the tile is whole>()
  template <class F>
  GATESCAN_HD static void with_form(bool whole, F&& f) {
    if (whole)
      f.template operator()<true>();
    else
      f.template operator()<false>();
  }

 private:
  GATESCAN_HD static int place_in(int room, int thread) { return room * room_size + thread; }
  GATESCAN_HD static S number_of(slot x, bool odd) {
    if constexpr (fetched_in_pairs<T>)
      return bits_as<S>(static_cast<std::uint16_t>(odd ? x >> 16 : x & 0xffffu));
    else
      return x;
  }
  // f(first number, step, place of the thread's first token) for the planes that are there
  template <class F>
  GATESCAN_HD static void for_each_plane(int room, int thread, const own_operands& own, F&& f) {
    int to = place_in(room, thread);
    const auto of = [&](const auto& x) {
      if (x.given) {
        f(x.re, x.time, to);
        if constexpr (IsComplex)
          if (x.im != nullptr) f(x.im, x.time, to + thread_tokens * block_threads);
      }
      to += planes * thread_tokens * block_threads;
    };
    R::operands(
        [&](const char*, const axes& a, presence, const auto& x) {
          if (a.has(axis::time)) of(x);
        },
        own.keys.x);
    if constexpr (Back) of(own.d_out);
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
