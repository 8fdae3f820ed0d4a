#pragma once
// Gradients of a diagonal recurrence on their way from threads to sinks: summed over the lanes of a
// channel where the operand has no keys, over the channels of a block where it has no values, over
// the tokens of a segment where it has no time. Always in the same order.

#include <utility>

#include "../numbers.hpp"
#include "../time_split.hpp"
#include "channel_map.hpp"
#include "chunk_storage.hpp"
#include "gradients.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

GATESCAN_HD constexpr bool has_keys(const axes& a) {
  return a.has(axis::key) || a.has(axis::key_or_one);
}
GATESCAN_HD constexpr bool has_values(const axes& a) {
  return a.has(axis::value) || a.has(axis::channel);
}

// One thread's sums of every operand's gradient: of its channel, and of each of its keys.
template <class R, class A, int Keys>
struct sums_of {
  using fields = typename R::template fields<A>;
  fields of_channel{};
  registers<fields, Keys> of_key = {};
};

// Shared memory, [operand][token][part][column] in two planes: sums of a warp's channels for every
// key of the tile, or of the lanes of a channel for every channel of the block.
struct partial_sums {
  int operands = 0, tokens = 1, parts = 1, columns = 1;

  GATESCAN_HD index_t size() const {
    return static_cast<index_t>(operands) * tokens * parts * columns;
  }
  GATESCAN_HD index_t at(int op, int token, int part, int column) const {
    return ((static_cast<index_t>(op) * tokens + token) * parts + part) * columns + column;
  }
};

// Keys: of a thread. Tokens: those that go together. Alone: a channel has one thread.
template <class R, class T, bool IsComplex, int Keys, int Tokens, bool Alone>
struct collector {
  using C = state_t<T>;
  using S = storage_t<T>;
  using sinks = gradient_sinks_of<R, T>;
  using wide_sums = sums_of<R, accumulator<double>, Keys>;
  using sums = sums_of<R, accumulator<C>, Keys>;

  sinks to{};
  channel_map map;
  partial_sums rows, extras;
  bool complex = false;
  index_t pieces = 1;  // segments of a sequence that leave a copy each (operands with a batch)

  // The sinks for a problem, and whether blocks may go across heads.
  static bool over_heads(const result_operands_of<R, T>& d) {
    bool all = true;
    R::operands([&](const char*, const axes& a, presence,
                    const auto& target) { all = all && (!target.given || has_values(a)); },
                d);
    return all;
  }
  collector() = default;
  collector(const result_operands_of<R, T>& d, const sizes& n, const time_split& split,
            const channel_map& m)
      : map(m), pieces(split.packed ? 1 : split.per_sequence) {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& target, auto& sink) {
          index_t copies = has_values(a) ? 1 : map.channel_blocks;
          if (!has_keys(a)) copies *= map.tiles;
          sizes of = n;
          if (!a.has(axis::time)) {  // every segment leaves a sum
            if (target.batch == 0)
              of.sequences = split.slot_count();
            else
              copies *= pieces;
          }
          sink = std::remove_cvref_t<decltype(sink)>(target, a, of, split.packed, copies);
          if (target.given && !has_values(a)) ++rows.operands;
          if (target.given && !has_keys(a) && a.has(axis::time) && !Alone) ++extras.operands;
          complex = complex || target.complex;
        },
        d, to);
    rows.tokens = extras.tokens = Tokens;
    rows.parts = map.block_threads / warp_threads, rows.columns = map.columns();
    extras.columns = map.block_threads / map.lanes;
  }
  void take(arena& memory) {
    R::operands([&](const char*, const axes&, presence, auto& sink) { sink.take(memory); }, to);
  }
  template <class Device>
  void add(const Device& gpu, const sizes& n, const time_split& split) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink) {
          sizes of = n;
          if (!a.has(axis::time) && sink.to.batch == 0) of.sequences = split.slot_count();
          add_partial_sums(gpu, sink, of, split.packed);
        },
        to);
  }
  int planes() const { return complex ? 2 : 1; }
  int shared_bytes() const {
    return shared_size<C>(rows.size() * planes()) + shared_size<C>(extras.size() * planes());
  }

  // ---- in a thread

  GATESCAN_HD static void forget_tokens(sums& s) {
    const auto forget = [](const char*, const axes& a, presence, auto& sum) {
      if (a.has(axis::time)) sum.re = sum.im = 0;
    };
    R::operands(forget, s.of_channel);
    unrolled<Keys>([&](int n) { R::operands(forget, s.of_key[n]); });
  }
  /// Where a channel has one thread, an operand without keys has one sum.
  GATESCAN_HD static void add_keys_to_channel(sums& s) {
    for (int n = 0; n < Keys; ++n)
      R::operands(
          [](const char*, const axes& a, presence, auto& sum, auto& of_key) {
            if (has_keys(a)) return;
            sum.re += of_key.re, sum.im += of_key.im;
            of_key.re = of_key.im = 0;
          },
          s.of_channel, s.of_key[n]);
  }
  /// Moves the sums of what has no time to `total`.
  GATESCAN_HD static void add_to_total(sums& s, wide_sums& total) {
    const auto move = [](const char*, const axes& a, presence, auto& sum, auto& all) {
      if (a.has(axis::time)) return;
      all.re += static_cast<double>(sum.re);
      all.im += static_cast<double>(sum.im);
      sum.re = sum.im = 0;
    };
    R::operands(move, s.of_channel, total.of_channel);
    unrolled<Keys>([&](int n) { R::operands(move, s.of_key[n], total.of_key[n]); });
  }

  template <class Array>
  struct shared_partials {
    Array rows, extras;
  };
  template <class Block>
  GATESCAN_HD auto storage(Block& block) const {
    const index_t n = complex ? 2 : 1;
    const auto first = block.template shared<C>(rows.size() * n);
    const auto second = block.template shared<C>(extras.size() * n);
    return shared_partials<std::remove_const_t<decltype(first)>>{first, second};
  }

  /// After the keys' part of token t, the i-th of its chunk. The sums of operands with keys go to
  /// their sink or to shared memory; what operands without keys got waits for `leave_channel`.
  /// Called by all threads of a block, as the others are.
  template <class Block, class Storage>
  GATESCAN_HD void leave_keys(Block& block, const Storage& storage, const channel_thread& thread,
                              const segment& s, index_t t, int i, const sums& own) const {
    leave_each_key(block, storage, thread, s, t, i, own,
                   std::make_index_sequence<static_cast<std::size_t>(Keys)>{});
  }
  /// After the channel's part of token t: the sums of operands without keys. Lanes may be at
  /// different tokens of a chunk, or (not `there`) at none.
  template <class Block, class Storage>
  GATESCAN_HD void leave_channel(Block& block, const Storage& storage, const channel_thread& thread,
                                 const segment& s, index_t t, int i, bool there,
                                 const typename sums::fields& own) const {
    int op = 0, extra = 0;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto& of_channel) {
          if (!sink.to.given) return;
          const int row = has_values(a) ? 0 : op++;
          if (!a.has(axis::time) || has_keys(a)) return;
          accumulator<C> sum = of_channel;
          if (!Alone && there) {
            const index_t from = extras.at(extra, i, 0, block.thread() / map.lanes);
            sum.re += storage.extras[from];
            if (complex) sum.im += storage.extras[extras.size() + from];
          }
          if (!Alone) ++extra;
          const bool mine = there && thread.active;
          if (has_values(a)) {
            if (mine)
              sink.store(cursor_at(thread, s, t, 0), lead(sink, s), copy(a, sink, thread, s), sum);
          } else {
            const bool first_of_warp = block.thread() % warp_threads < map.lanes;
            leave_partial(block, storage, row, i, 0, sum, mine, there && first_of_warp);
          }
        },
        to, own);
  }
  /// After all tokens of a segment: the operands without time.
  template <class Block, class Storage>
  GATESCAN_HD void leave_totals(Block& block, const Storage& storage, const channel_thread& thread,
                                const segment& s, const wide_sums& total) const {
    leave_all_totals(block, storage, thread, s, total,
                     std::make_index_sequence<static_cast<std::size_t>(Keys)>{});
  }

  /// Empties `count` rows of the shared partial sums, of tokens from t on.
  template <bool Timed, class Block, class Storage>
  GATESCAN_HD void flush(Block& block, const Storage& storage, const channel_thread& thread,
                         const segment& s, index_t t, int count) const {
    if (rows.operands == 0) return;
    block.sync();
    int op = 0;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink) {
          if (!sink.to.given || has_values(a)) return;
          const int row = op++;
          if (a.has(axis::time) != Timed) return;
          const int columns = has_keys(a) ? rows.columns : 1;
          for (int j = block.thread(); j < count * columns; j += block.threads()) {
            const int token = j / columns, column = j % columns;
            const index_t key = has_keys(a) ? thread.tile * rows.columns + column : 0;
            if (has_keys(a) && key >= map.keys) continue;
            accumulator<C> sum;
            for (int warp = 0; warp < rows.parts; ++warp) {
              sum.re += storage.rows[rows.at(row, token, warp, column)];
              if (complex) sum.im += storage.rows[rows.size() + rows.at(row, token, warp, column)];
            }
            sink.store(gpu::cursor<C, IsComplex>{s.batch, t + token, thread.head, key, 0},
                       lead(sink, s), copy(a, sink, thread, s), sum);
          }
        },
        to);
    block.sync();
  }

  // ---- where a thread's sums go

  template <class Sink>
  GATESCAN_HD index_t lead(const Sink& sink, const segment& s) const {
    return sink.to.batch == 0 ? s.slot : s.sequence;
  }
  template <class Sink>
  GATESCAN_HD index_t copy(const axes& a, const Sink& sink, const channel_thread& thread,
                           const segment& s) const {
    index_t c = has_values(a) ? 0 : thread.channel_block;
    if (!has_keys(a)) c = c * map.tiles + thread.tile;
    if (!a.has(axis::time) && sink.to.batch != 0) c = c * pieces + s.slot % pieces;
    return c;
  }
  GATESCAN_HD static gpu::cursor<C, IsComplex> cursor_at(const channel_thread& thread,
                                                         const segment& s, index_t t, index_t key) {
    return {s.batch, t, thread.head, key, thread.value};
  }
  template <class A>
  GATESCAN_HD static accumulator<C> narrow(const A& sum) {
    accumulator<C> r;
    r.re = static_cast<C>(sum.re), r.im = static_cast<C>(sum.im);
    return r;
  }

 private:
  // Adds over the channels of a warp; the lanes that `write` have the sum.
  template <class Block, class Storage>
  GATESCAN_HD void leave_partial(Block& block, const Storage& storage, int op, int i, int column,
                                 accumulator<C> sum, bool mine, bool write) const {
    if (!mine) sum.re = sum.im = 0;
    add_over_channels(block, sum);
    if (!write) return;
    const index_t at = rows.at(op, i, block.thread() / warp_threads, column);
    storage.rows[at] = sum.re;
    if (complex) storage.rows[rows.size() + at] = sum.im;
  }
  // The sum of an operand with keys, of one of them.
  template <class Block, class Storage, class Sink>
  GATESCAN_HD void leave_key(Block& block, const Storage& storage, const channel_thread& thread,
                             const segment& s, index_t t, int i, int op, const axes& a,
                             const Sink& sink, int n, const accumulator<C>& sum) const {
    const index_t key = thread.key + n * map.lanes;
    const bool mine = thread.active && key < map.keys;
    if (!has_values(a))
      leave_partial(block, storage, op, i, n * map.lanes + thread.part, sum, mine,
                    block.thread() % warp_threads < map.lanes);
    else if (mine)
      sink.store(cursor_at(thread, s, t, key), lead(sink, s), copy(a, sink, thread, s), sum);
  }
  template <class Block, class Storage, std::size_t... N>
  GATESCAN_HD void leave_each_key(Block& block, const Storage& storage,
                                  const channel_thread& thread, const segment& s, index_t t, int i,
                                  const sums& own, std::index_sequence<N...>) const {
    int op = 0, extra = 0;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto&... of_key) {
          if (!sink.to.given) return;
          const int row = has_values(a) ? 0 : op++;
          if (!a.has(axis::time)) return;
          if (has_keys(a)) {
            (leave_key(block, storage, thread, s, t, i, row, a, sink, static_cast<int>(N), of_key),
             ...);
            return;
          }
          if constexpr (!Alone) {
            accumulator<C> sum;
            ((sum.re += of_key.re, sum.im += of_key.im), ...);
            add_over_keys(block, sum);
            const index_t at = extras.at(extra++, i, 0, block.thread() / map.lanes);
            if ((i & (map.lanes - 1)) != thread.part) return;
            storage.extras[at] = sum.re;
            if (complex) storage.extras[extras.size() + at] = sum.im;
          }
        },
        to, own.of_key[N]...);
  }
  template <class Block, class Storage, std::size_t... N>
  GATESCAN_HD void leave_all_totals(Block& block, const Storage& storage,
                                    const channel_thread& thread, const segment& s,
                                    const wide_sums& total, std::index_sequence<N...>) const {
    int op = 0;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto& of_channel,
            const auto&... of_key) {
          if (!sink.to.given) return;
          const int row = has_values(a) ? 0 : op++;
          if (a.has(axis::time)) return;
          if (has_keys(a)) {
            (leave_key(block, storage, thread, s, 0, 0, row, a, sink, static_cast<int>(N),
                       narrow(of_key)),
             ...);
            return;
          }
          accumulator<C> sum = narrow(of_channel);
          ((sum.re += static_cast<C>(of_key.re), sum.im += static_cast<C>(of_key.im)), ...);
          add_over_keys(block, sum);
          const bool mine = thread.active && thread.part == 0;
          if (!has_values(a))
            leave_partial(block, storage, row, 0, 0, sum, mine, block.thread() % warp_threads == 0);
          else if (mine)
            sink.store(cursor_at(thread, s, 0, 0), lead(sink, s), copy(a, sink, thread, s), sum);
        },
        to, total.of_channel, total.of_key[N]...);
  }
  // Over the lanes of a warp that share a channel, and over the channels of a warp.
  template <class Block>
  GATESCAN_HD void add_over_keys(Block& block, accumulator<C>& sum) const {
    if constexpr (!Alone)
      for (int m = 1; m < map.lanes; m *= 2) add_exchanged(block, sum, m);
  }
  template <class Block>
  GATESCAN_HD void add_over_channels(Block& block, accumulator<C>& sum) const {
    for (int m = Alone ? 1 : map.lanes; m < warp_threads; m *= 2) add_exchanged(block, sum, m);
  }
  template <class Block>
  GATESCAN_HD void add_exchanged(Block& block, accumulator<C>& sum, int m) const {
    sum.re += block.shuffle_xor(sum.re, m);
    if constexpr (IsComplex)
      if (complex) sum.im += block.shuffle_xor(sum.im, m);
  }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
