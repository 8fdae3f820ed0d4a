#pragma once
// Channels whose neighbouring tokens lie together ([B, D, L]): a block has one channel, its threads
// neighbouring runs of tokens, so that a warp reads neighbouring numbers. A tile is what the
// threads have at a time: its operands go to registers through a transpose, and what the threads
// before one have made of the state comes to it by a scan of (product of gates, local state).

#include "../thread_tokens.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {
namespace along_time {

/// Whether neighbouring tokens of an operand lie together.
template <class S>
bool lies_along_time(const operand<S>& x) {
  return x.time == 1 || is_interleaved(x, x.time);
}
/// Whether those of all operands do that have tokens: then a block has a channel.
template <class R, class Operands>
bool lie_along_time(const Operands& all) {
  int along = 0, otherwise = 0;
  R::operands(
      [&](const char*, const axes&, presence, const auto& x) {
        if (x.given && x.time != 0) ++(lies_along_time(x) ? along : otherwise);
      },
      all);
  return along > 0 && otherwise == 0;
}

// ---- numbers of a channel from a token on, as a block loads and stores them

/// A step of 1 that the compiler knows: then a thread has one address.
struct side_by_side {
  GATESCAN_HD operator index_t() const { return 1; }
};
template <class C, class S, class Step>
struct numbers_read {
  const S* first;
  Step step;
  GATESCAN_HD C operator[](index_t i) const { return convert<C>(first[i * index_t(step)]); }
};
template <class C, class S, class Step>
struct numbers_written {
  struct number {
    S* at;
    GATESCAN_HD void operator=(C x) const { *at = convert<S>(x); }
  };
  S* first;
  Step step;
  GATESCAN_HD number operator[](index_t i) const { return {first + i * index_t(step)}; }
  GATESCAN_HD numbers_written operator+(index_t i) const {
    return {first + i * index_t(step), step};
  }
};

template <class R, class T, bool IsComplex>
struct tile_program : token_program<R, T, IsComplex> {
  using base = token_program<R, T, IsComplex>;
  using base::thread_tokens;
  using typename base::C, typename base::E, typename base::S, typename base::channel,
      typename base::loaded, typename base::numbers, typename base::step;
  static constexpr int block_threads = tuned.block_threads;
  static constexpr int tile_tokens = block_threads * thread_tokens;

  tile_program() = default;
  explicit tile_program(const typename base::base& shared) : base(shared) {}

  int threads() const { return block_threads; }
  index_t blocks() const { return this->split.slot_count() * this->map.channels(); }

  /// f(segment, channel's thread, its operands). Only thread 0 is active.
  template <class Block, class F>
  GATESCAN_HD void of_channel(Block& block, F&& f) const {
    const index_t channels = this->map.channels();
    channel_thread thread;
    thread.channel = block.index() % channels;
    thread.head = thread.channel / this->map.values;
    thread.value = thread.channel % this->map.values;
    thread.active = block.thread() == 0;
    const segment s = this->split.at(block.index() / channels);
    f(s, thread, channel(this->p.x, thread, s.batch, this->map));
  }

  /// f.operator()<Full>(its first token, tokens of the thread, tokens left) for the tiles of a
  /// segment.
  template <class Block, class F>
  GATESCAN_HD static void for_each_tile(Block& block, const segment& s, F&& f) {
    for (index_t t = s.tokens.first; t < s.tokens.last; t += tile_tokens)
      for_tile<true>(block, s, t, f);
  }
  template <bool MayBeFull, class Block, class F>
  GATESCAN_HD static void for_tile(Block& block, const segment& s, index_t t, F&& f) {
    const int left = s.tokens.count_from(t, tile_tokens);
    const int own = left - block.thread() * thread_tokens;
    if (MayBeFull && left == tile_tokens)
      f.template operator()<MayBeFull>(t, thread_tokens, left);
    else
      f.template operator()<false>(t,
                                   own < 0               ? 0
                                   : own < thread_tokens ? own
                                                         : thread_tokens,
                                   left);
  }
  /// The operands of the thread's tokens.
  template <class Block>
  GATESCAN_HD loaded load(Block& block, const channel& keys, index_t t, int left) const {
    loaded x = this->nothing_loaded;
    R::operands(
        [&](const char*, const axes&, presence need, const auto& from, auto& to) {
          if (need != presence::required && !from.given) return;
          numbers_along(block, from.re, from.time, t, left, to.re);
          if constexpr (IsComplex) {
            if (from.im != nullptr)
              numbers_along(block, from.im, from.time, t, left, to.im);
            else
              for (C& im : to.im) im = 0;
          }
        },
        keys.x, x);
    return x;
  }
  /// Numbers of the thread's tokens from memory of any step, and into it.
  template <class Block, class Number>
  GATESCAN_HD static void read(Block& block, const Number* first, index_t by, index_t t, int left,
                               C (&to)[static_cast<std::size_t>(thread_tokens)]) {
    with_step(by, [&](const auto& step) {
      block.template load<block_threads>(
          numbers_read<C, Number, std::remove_cvref_t<decltype(step)>>{first + t * by, step}, left,
          to);
    });
  }
  template <class Block, class Number>
  GATESCAN_HD static void write(Block& block, Number* first, index_t by, index_t t, int left,
                                C (&from)[static_cast<std::size_t>(thread_tokens)]) {
    with_step(by, [&](const auto& step) {
      block.template store<block_threads>(
          numbers_written<C, Number, std::remove_cvref_t<decltype(step)>>{first + t * by, step},
          left, from);
    });
  }
  template <class Block>
  GATESCAN_HD static void store(Block& block, const operand<S>& to, index_t t, int left,
                                const numbers& x) {
    registers<C, thread_tokens> part;
    if constexpr (IsComplex) {
      for (int i = 0; i < thread_tokens; ++i) part[i] = x[i].re;
      write(block, to.re, to.time, t, left, part);
      if (to.im == nullptr) return;
      for (int i = 0; i < thread_tokens; ++i) part[i] = x[i].im;
      write(block, to.im, to.time, t, left, part);
    } else {
      for (int i = 0; i < thread_tokens; ++i) part[i] = x[i];
      write(block, to.re, to.time, t, left, part);
    }
  }

  template <class Block>
  GATESCAN_HD static step steps_before(Block& block, const step& own, step& all) {
    return block.template exclusive_scan<block_threads>(own, step{}, all, one_after_another{});
  }
  /// Inf or NaN: thread after thread as the recurrence stands, where a reset is exact and nothing
  /// overflows that the definition does not overflow. What is finite stays. `turn`: the thread's
  /// place in that order; run(the number before its tokens) is the one after them.
  template <class Block, class Passed, class N, class Run>
  GATESCAN_HD static void one_by_one(Block& block, int turn, const Passed& passed, N before, N& in,
                                     N& end, const Run& run) {
    for (int i = 0; i < block_threads; ++i) {
      if (turn == i) {
        if (i > 0 && !is_finite(number_cast<E>(in))) in = number_cast<N>(E(passed[0]));
        passed[0] = run(number_cast<E>(i > 0 ? in : before));
      }
      block.sync();
    }
    if (!is_finite(number_cast<E>(end))) end = number_cast<N>(E(passed[0]));
    block.sync();
  }

 private:
  template <class F>
  GATESCAN_HD static void with_step(index_t by, F&& f) {
    if (by == 1)
      f(side_by_side{});
    else
      f(by);
  }
  // A parameter of channels is one number. Real operands lie along time, complex ones may be in one
  // plane.
  template <class Block, class Number>
  GATESCAN_HD static void numbers_along(Block& block, const Number* first, index_t by, index_t t,
                                        int left,
                                        C (&to)[static_cast<std::size_t>(thread_tokens)]) {
    if (by == 0) {
      for (C& x : to) x = convert<C>(*first);
    } else if constexpr (IsComplex) {
      block.template load<block_threads>(numbers_read<C, Number, index_t>{first + t * by, by}, left,
                                         to);
    } else {
      block.template load<block_threads>(numbers_read<C, Number, side_by_side>{first + t, {}}, left,
                                         to);
    }
  }
};

}  // namespace along_time
}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
