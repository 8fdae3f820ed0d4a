#pragma once
// What programs share that go token by token, a thread a channel of a head, with the channel's
// state in registers; and how their backward goes over chunks whose first states were kept.

#include "../../../core/problem.hpp"
#include "../time_split.hpp"
#include "../tuning.hpp"
#include "collect.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// Tokens between states that backward keeps: the states of those between are in shared memory.
constexpr int tokens_of_history(std::size_t bytes_a_state) {
  const int fit = tuned.history_bytes / static_cast<int>(bytes_a_state) - 1;
  return fit < 1 ? 1 : fit > tuned.most_history_tokens ? tuned.most_history_tokens : fit;
}

template <class R, class T>
struct channel_program {
  using C = state_t<T>;
  using S = storage_t<T>;
  using cursor = gpu::cursor<C, false>;
  using operands = operands_of<R, T>;

  problem_of<R, T> p;
  channel_map map;
  time_split split;

  int threads() const { return map.block_threads; }
  int shared_bytes() const { return 0; }
  index_t blocks_for(index_t slot_count) const { return slot_count * map.blocks_a_slot(); }

  /// A thread's channel, its segment of time, and the operands there.
  struct place {
    segment s;
    channel_thread thread;
    operands x;
  };
  template <class Block>
  GATESCAN_HD place place_of(const Block& block) const {
    const index_t a_slot = map.blocks_a_slot();
    place here{split.at(block.index() / a_slot), map.at(block.index() % a_slot, block.thread()),
               p.x};
    R::operands([&](const char*, const axes&, presence, const auto& from,
                    auto& to) { to = of_channel(from, here); },
                p.x, here.x);
    return here;
  }
  template <class Operand>
  GATESCAN_HD static auto of_channel(const Operand& all, const place& here) {
    return all.of_head(here.s.batch, here.thread.head, here.thread.value);
  }
  GATESCAN_HD static cursor at(index_t t) { return {0, t, 0, 0, 0}; }

  /// Gradients of a segment's tokens, the last chunk first. restore(t, count) finds the states of
  /// tokens [t, t + count) again; adjoint(d, t, j) adds to d what the token t + j gives, j counting
  /// down.
  template <int Tokens, class Collector, class Block, class Storage, class Restore, class Adjoint>
  GATESCAN_HD static void against_time(const Collector& collect, Block& block,
                                       const Storage& partials, const place& here,
                                       Restore&& restore, Adjoint&& adjoint) {
    const segment& s = here.s;
    const channel_thread& thread = here.thread;
    typename Collector::sums own{};
    typename Collector::wide_sums total{};
    for (index_t i = ceil_divide(s.tokens.count(), Tokens) - 1; i >= 0; --i) {
      const index_t t = s.tokens.first + i * Tokens, left = s.tokens.last - t;
      const int count = left < Tokens ? static_cast<int>(left) : Tokens;
      restore(t, count);
      for (int j = count - 1; j >= 0; --j) {
        Collector::forget_tokens(own);
        adjoint(own.of_channel, t, j);
        collect.leave_channel(block, partials, thread, s, t + j, j, true, own.of_channel);
      }
      collect.template flush<true>(block, partials, thread, s, t, count);
      Collector::add_to_total(own, total);
    }
    collect.leave_totals(block, partials, thread, s, total);
    collect.template flush<false>(block, partials, thread, s, 0, 1);
  }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
