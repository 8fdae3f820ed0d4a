#pragma once
// Gradients where channels share keys, on their way from threads to sinks. What keys get is added
// over the channels of a block through shared memory, a few tokens at a time and always in the same
// order: each thread leaves the sums of its keys, then a few threads an item add up eight channels
// each and their neighbours' sums. What a channel gets is one thread's at every token.

#include "../../operands/collect.hpp"
#include "run.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {
namespace shared_keys {

// Tokens: those whose keys' gradients are added together.
template <class R, class T, int Keys, int Tokens>
struct collector : gpu::collector<R, T, false, Keys, Tokens, false> {
  using base = gpu::collector<R, T, false, Keys, Tokens, false>;
  using typename base::C, typename base::sums, typename base::wide_sums;
  using item = key_numbers<C, Keys>;
  static constexpr int channel_bits = 3;  // a thread adds up so many channels, all being powers
                                          // of two
  int key_operands = 0;                   // with a gradient, timed

  collector() = default;
  collector(const result_operands_of<R, T>& d, const sizes& n, const time_split& split,
            const channel_map& m)
      : base(d, n, split, m) {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink) {
          if (sink.to.given && is_of_keys(a)) ++key_operands;
        },
        this->to);
  }
  GATESCAN_HD static constexpr bool is_of_keys(const axes& a) {
    return a.has(axis::time) && has_keys(a);
  }
  // Eight neighbours that read rows of four floats hit different banks.
  GATESCAN_HD int pitch() const { return this->map.width() + 4; }
  GATESCAN_HD int item_count() const { return Tokens * key_operands * this->map.lanes * pitch(); }
  int shared_bytes() const {
    return shared_size<item>(item_count()) + shared_size<C>(this->map.block_threads);
  }
  template <class Items, class Column>
  struct shared_sums {
    Items items;
    Column column;
  };
  template <class Block>
  GATESCAN_HD auto storage(Block& block) const {
    const auto items = block.template shared<item>(item_count());
    const auto column = block.template shared<C>(block.threads());
    return shared_sums<std::remove_const_t<decltype(items)>, std::remove_const_t<decltype(column)>>{
        items, column};
  }

  /// Leaves what a thread's keys got at a token, the i-th of those that go together.
  template <class Block, class Storage>
  GATESCAN_HD void leave_keys(Block& block, const Storage& storage, int i, const sums& own) const {
    leave_each_key(block, storage, i, own,
                   std::make_index_sequence<static_cast<std::size_t>(Keys)>{});
  }
  /// Adds that over the channels of the block, for `count` tokens from t on. Between barriers.
  template <class Block, class Storage>
  GATESCAN_HD void add_keys(Block& block, const Storage& storage, const channel_thread& thread,
                            const segment& s, index_t t, int count) const {
    const int lanes = this->map.lanes, lane_bits = this->map.lane_bits, width = this->map.width();
    const int each = width >> channel_bits > 0 ? 1 << channel_bits : width;
    const int helpers = width >> channel_bits > 0 ? width >> channel_bits : 1;
    const int helper = block.thread() & (helpers - 1);
    int helper_bits = 0;
    while (1 << helper_bits < helpers) ++helper_bits;
    const int total = count * key_operands * lanes * helpers;
    const index_t before = thread.channel_block * width;
    const index_t channels = (this->map.flat ? this->map.heads : 1) * this->map.values - before;
    const int live = channels < width ? static_cast<int>(channels) : width;
    for (int j = block.thread(); j / warp_threads * warp_threads < total; j += block.threads()) {
      const bool mine = j < total;
      const int nth = mine ? (j >> helper_bits) : 0;
      item sum{};
      for (int c = 0; c < each; ++c) {
        const int column = c * helpers + helper;
        const item x = storage.items[nth * pitch() + column];
        if (column < live) unrolled<Keys>([&](int n) { sum.of[n] += x.of[n]; });
      }
      for (int m = 1; m < helpers; m *= 2)
        unrolled<Keys>([&](int n) { sum.of[n] += block.shuffle_xor(sum.of[n], m); });
      if (!mine) continue;
      const int part = nth & (lanes - 1), token_and_op = nth >> lane_bits;
      const int token = token_and_op / key_operands, op = token_and_op - token * key_operands;
      const index_t first = thread.tile * this->map.columns() + part * Keys;
      int at = 0;
      R::operands(
          [&](const char*, const axes& a, presence, const auto& sink) {
            if (!sink.to.given || !is_of_keys(a) || at++ != op) return;
            unrolled<Keys>([&](int n) {
              if ((n & (helpers - 1)) != helper || first + n >= this->map.keys) return;
              accumulator<C> of_key;
              of_key.re = sum.of[n];
              sink.store(gpu::cursor<C, false>{s.batch, t + token, thread.head, first + n, 0},
                         this->lead(sink, s), this->copy(a, sink, thread, s), of_key);
            });
          },
          this->to);
    }
  }
  /// What a channel got at token t.
  GATESCAN_HD void store_channel(const channel_thread& thread, const segment& s, index_t t,
                                 const typename sums::fields& own) const {
    if (!thread.active) return;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto& sum) {
          if (!sink.to.given || !a.has(axis::time) || has_keys(a)) return;
          sink.store(base::cursor_at(thread, s, t, 0), this->lead(sink, s),
                     this->copy(a, sink, thread, s), sum);
        },
        this->to, own);
  }
  /// After all tokens of a segment: parameters, of a thread's keys or of a channel.
  template <class Block, class Storage>
  GATESCAN_HD void leave_totals(Block& block, const Storage& storage, const channel_thread& thread,
                                const segment& s, const wide_sums& total) const {
    leave_all_totals(block, storage, thread, s, total,
                     std::make_index_sequence<static_cast<std::size_t>(Keys)>{});
  }

 private:
  template <class Block, class Storage, std::size_t... N>
  GATESCAN_HD void leave_each_key(Block& block, const Storage& storage, int i, const sums& own,
                                  std::index_sequence<N...>) const {
    const int width = this->map.width(), column = block.thread() & (width - 1),
              part = block.thread() / width;
    int op = 0;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto&... of_key) {
          if (!sink.to.given || !is_of_keys(a)) return;
          const int nth = (i * key_operands + op++) * this->map.lanes + part;
          storage.items[nth * pitch() + column] = item{{of_key.re...}};
        },
        this->to, own.of_key[N]...);
  }
  template <class Block, class Storage, std::size_t... N>
  GATESCAN_HD void leave_all_totals(Block& block, const Storage& storage,
                                    const channel_thread& thread, const segment& s,
                                    const wide_sums& total, std::index_sequence<N...>) const {
    const int width = this->map.width(), column = block.thread() % width;
    const auto store = [&](const axes& a, const auto& sink, int n, const accumulator<C>& sum) {
      const index_t key = thread.key + n;
      if (thread.active && (n == 0 || key < this->map.keys) && key < this->map.keys)
        sink.store(base::cursor_at(thread, s, 0, key), this->lead(sink, s),
                   this->copy(a, sink, thread, s), sum);
    };
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto& of_channel,
            const auto&... of_key) {
          if (!sink.to.given || a.has(axis::time)) return;
          if (has_keys(a)) {
            (store(a, sink, static_cast<int>(N), base::narrow(of_key)), ...);
            return;
          }
          C sum = static_cast<C>(of_channel.re);
          ((sum += static_cast<C>(of_key.re)), ...);
          block.sync();
          storage.column[block.thread()] = sum;
          block.sync();
          if (thread.part != 0) return;
          accumulator<C> all;
          for (int part = 0; part < this->map.lanes; ++part)
            all.re += storage.column[part * width + column];
          store(a, sink, 0, all);
        },
        this->to, total.of_channel, total.of_key[N]...);
  }
};

}  // namespace shared_keys
}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
