#pragma once
// Gradients of a diagonal recurrence on their way from threads to sinks: summed over the lanes of a
// channel where the operand has no keys, over the channels of a block where it has no values, over
// the tokens of a segment where it has no time. Always in the same order.

#include <utility>

#include "../gradients.hpp"
#include "layout.hpp"
#include "numbers.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

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
  list<fields, Keys> of_key = {};
};

// Where sums of a block's channels meet: [operand][token][warp][key of the tile], in two planes.
struct stage {
  int operands = 0, tokens = 1, warps = 1, columns = 1;

  GATESCAN_HD index_t size() const {
    return static_cast<index_t>(operands) * tokens * warps * columns;
  }
  GATESCAN_HD index_t at(int op, int token, int warp, int column) const {
    return ((static_cast<index_t>(op) * tokens + token) * warps + warp) * columns + column;
  }
};

// Keys: of a thread. Run: tokens whose sums may wait for each other.
template <class R, class T, bool Complex, int Keys, int Run>
struct collector {
  using C = state_t<T>;
  using S = storage_t<T>;
  using sinks = typename R::template fields<gradient_sink<C, S>>;
  using wide_sums = sums_of<R, accumulator<double>, Keys>;
  using sums = sums_of<R, accumulator<C>, Keys>;

  sinks to{};
  channel_map map;
  stage rows;
  bool complex = false;
  index_t pieces = 1;  // segments of a sequence that leave a copy each (operands with a batch)

  // The sinks for a problem, and whether blocks may go across heads.
  static bool over_heads(const typename R::template fields<operand<S>>& d) {
    bool all = true;
    R::operands([&](const char*, const axes& a, presence,
                    const auto& to) { all = all && (!to.given || has_values(a)); },
                d);
    return all;
  }
  collector() = default;
  collector(const typename R::template fields<operand<S>>& d, const sizes& n, const time_cut& cut,
            const channel_map& m)
      : map(m), pieces(cut.packed ? 1 : cut.per_sequence) {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& target, auto& sink) {
          index_t copies = has_values(a) ? 1 : map.channel_blocks;
          if (!has_keys(a)) copies *= map.tiles;
          sizes of = n;
          if (!a.has(axis::time)) {  // every segment leaves a sum
            if (target.batch == 0)
              of.sequences = cut.slots();
            else
              copies *= pieces;
          }
          sink = gradient_sink<C, S>(target, a, of, cut.packed, copies);
          if (target.given && !has_values(a)) ++rows.operands;
          complex = complex || target.im != nullptr;
        },
        d, to);
    constexpr index_t most_bytes = 16 * 1024;
    rows.warps = map.block_threads / warp_threads, rows.columns = map.columns();
    const index_t a_token = rows.size() * static_cast<index_t>(sizeof(C)) * planes();
    while (rows.tokens < Run && a_token * 2 * rows.tokens <= most_bytes) rows.tokens *= 2;
  }
  void take(arena& memory) {
    R::operands([&](const char*, const axes&, presence, auto& sink) { sink.take(memory); }, to);
  }
  template <class Device>
  void add(const Device& gpu, const sizes& n, const time_cut& cut) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink) {
          sizes of = n;
          if (!a.has(axis::time) && sink.to.batch == 0) of.sequences = cut.slots();
          add_partial_sums(gpu, sink, of, cut.packed);
        },
        to);
  }
  int planes() const { return complex ? 2 : 1; }
  int shared_bytes() const { return shared_size<C>(rows.size() * planes()); }

  // ---- in a thread

  GATESCAN_HD static void forget_tokens(sums& s) {
    const auto forget = [](const char*, const axes& a, presence, auto& sum) {
      if (a.has(axis::time)) sum.re = sum.im = 0;
    };
    R::operands(forget, s.of_channel);
    for (int n = 0; n < Keys; ++n) R::operands(forget, s.of_key[n]);
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
    for (int n = 0; n < Keys; ++n) R::operands(move, s.of_key[n], total.of_key[n]);
  }

  /// Stores the sums of the operands with a time axis at token t, or of those without one. What is
  /// summed over channels goes to row `token` of the stage. Called by all threads of a block.
  template <bool Timed, class Block, class Shared, class Sums>
  GATESCAN_HD void leave(Block& block, Shared staged, const lane& l, const segment& s, index_t t,
                         int token, const Sums& own) const {
    leave_all<Timed>(block, staged, l, s, t, token, own,
                     std::make_index_sequence<static_cast<std::size_t>(Keys)>{});
  }

  /// Empties `count` rows of the stage, of tokens from t on.
  template <bool Timed, class Block, class Shared>
  GATESCAN_HD void flush(Block& block, Shared staged, const lane& l, const segment& s, index_t t,
                         int count) const {
    if (rows.operands == 0) return;
    block.sync();
    int op = 0;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink) {
          if (!sink.to.given || has_values(a)) return;
          const int here = op++;
          if (a.has(axis::time) != Timed) return;
          const int columns = has_keys(a) ? rows.columns : 1;
          for (int j = block.thread(); j < count * columns; j += block.threads()) {
            const int token = j / columns, column = j % columns;
            const index_t key = has_keys(a) ? l.tile * rows.columns + column : 0;
            if (has_keys(a) && key >= map.keys) continue;
            accumulator<C> sum;
            for (int warp = 0; warp < rows.warps; ++warp) {
              sum.re += staged[rows.at(here, token, warp, column)];
              if (complex) sum.im += staged[rows.size() + rows.at(here, token, warp, column)];
            }
            sink.store(place<C, Complex>{s.batch, t + token, l.head, key, 0}, lead(sink, s),
                       copy(a, sink, l, s), sum);
          }
        },
        to);
    block.sync();
  }

 private:
  template <class Sink>
  GATESCAN_HD index_t lead(const Sink& sink, const segment& s) const {
    return sink.to.batch == 0 ? s.slot : s.sequence;
  }
  template <class Sink>
  GATESCAN_HD index_t copy(const axes& a, const Sink& sink, const lane& l, const segment& s) const {
    index_t c = has_values(a) ? 0 : l.channel_block;
    if (!has_keys(a)) c = c * map.tiles + l.tile;
    if (!a.has(axis::time) && sink.to.batch != 0) c = c * pieces + s.slot % pieces;
    return c;
  }
  template <bool Timed, class Block, class Shared, class Sums, std::size_t... N>
  GATESCAN_HD void leave_all(Block& block, Shared staged, const lane& l, const segment& s,
                             index_t t, int token, const Sums& own,
                             std::index_sequence<N...>) const {
    int op = 0;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto& of_channel,
            const auto&... of_key) {
          if (!sink.to.given) return;
          const int here = has_values(a) ? 0 : op++;
          if (a.has(axis::time) != Timed) return;
          list<accumulator<C>, Keys> sum = {narrow(of_key)...};
          const accumulator<C> rest = narrow(of_channel);
          const place<C, Complex> at{s.batch, t, l.head, 0, l.value};
          if (has_keys(a)) {
            if (l.part == 0 && l.tile == 0) sum[0].re += rest.re, sum[0].im += rest.im;
          } else {
            for (int n = 1; n < Keys; ++n) sum[0].re += sum[n].re, sum[0].im += sum[n].im;
            sum[0].re += rest.re, sum[0].im += rest.im;
            add_over(block, sum[0], 1, map.lanes);
          }
          for (int n = 0; n < Keys; ++n) {
            if (n > 0 && !has_keys(a)) continue;
            const index_t key = has_keys(a) ? l.key + n * map.lanes : 0;
            const bool mine = l.active && (has_keys(a) ? key < map.keys : l.part == 0);
            if (has_values(a)) {
              place<C, Complex> here_at = at;
              here_at.key = key;
              if (mine) sink.store(here_at, lead(sink, s), copy(a, sink, l, s), sum[n]);
              continue;
            }
            if (!mine) sum[n].re = sum[n].im = 0;
            add_over(block, sum[n], map.lanes, warp_threads);
            const int in_warp = block.thread() % warp_threads;
            if (in_warp >= (has_keys(a) ? map.lanes : 1)) continue;
            const index_t to_row = rows.at(here, token, block.thread() / warp_threads,
                                           has_keys(a) ? n * map.lanes + l.part : 0);
            staged[to_row] = sum[n].re;
            if (complex) staged[rows.size() + to_row] = sum[n].im;
          }
        },
        to, own.of_channel, own.of_key[N]...);
  }
  template <class A>
  GATESCAN_HD static accumulator<C> narrow(const A& sum) {
    accumulator<C> r;
    r.re = static_cast<C>(sum.re), r.im = static_cast<C>(sum.im);
    return r;
  }
  // over the lanes of a warp whose numbers differ in the bits from `first` up to `last`
  template <class Block>
  GATESCAN_HD void add_over(Block& block, accumulator<C>& sum, int first, int last) const {
    for (int m = first; m < last; m *= 2) {
      sum.re += block.shuffle_xor(sum.re, m);
      if (complex) sum.im += block.shuffle_xor(sum.im, m);
    }
  }
};

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
