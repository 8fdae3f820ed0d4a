#pragma once
// What the programs of a diagonal problem share: who has which channels and tokens, and their
// states in the caller's memory and in scratch.

#include "../operands/gradient_sink.hpp"
#include "channel_keys.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

template <class R, class T, bool IsComplex, int Keys>
struct program_base {
  using channel = channel_keys<R, T, IsComplex, Keys>;
  using C = typename channel::C;
  using E = typename channel::E;
  using W = typename channel::W;
  using D = number_t<double, IsComplex>;
  using S = typename channel::S;
  static constexpr bool several_real_keys = Keys > 1 && sizeof(E) <= 4;

  problem_of<R, T> p;
  channel_map map;
  time_split split;
  bool steps = false;  // token by token, as the recurrence stands

  int threads() const { return map.block_threads; }
  int shared_bytes() const { return 0; }
  index_t blocks_for(index_t slot_count) const { return slot_count * map.blocks_a_slot(); }
  /// f(segment, thread, keys): a block has a segment of some channels.
  template <class Block, class F>
  GATESCAN_HD void of_segment(Block& block, F&& f) const {
    const index_t a_slot = map.blocks_a_slot();
    const segment s = split.at(block.index() / a_slot);
    const channel_thread thread = map.at(block.index() % a_slot, block.thread());
    f(s, thread, channel(p.x, thread, s.batch, map));
  }
  /// f(sequence, thread, keys): a block has a sequence of some channels.
  template <class Block, class F>
  GATESCAN_HD void of_sequence(Block& block, F&& f) const {
    const index_t a_slot = map.blocks_a_slot(), sequence = block.index() / a_slot;
    const channel_thread thread = map.at(block.index() % a_slot, block.thread());
    f(sequence, thread, channel(p.x, thread, split.batch_of(sequence), map));
  }

  template <class Operand>
  GATESCAN_HD static index_t state_offset(const Operand& x, index_t sequence,
                                          const channel_thread& thread, index_t key) {
    return x.offset(sequence, 0, thread.head) + key * x.key + thread.value * x.value;
  }
  template <class Operand, class N>
  GATESCAN_HD void load_state(const Operand& from, index_t sequence, const channel_thread& thread,
                              const channel& keys, registers<N, Keys>& h) const {
    for (int n = 0; n < Keys; ++n) {
      h[n] = number_cast<N>(0);
      if (from.given && keys.holds(n))
        h[n] =
            number_cast<N>(load_number<E>(from, state_offset(from, sequence, thread, keys.key(n))));
    }
  }
  template <class N>
  GATESCAN_HD void store_state(const operand<C>& to, index_t sequence, const channel_thread& thread,
                               const channel& keys, const registers<N, Keys>& h) const {
    for (int n = 0; n < Keys; ++n)
      if (thread.active && keys.holds(n))
        store_number(to, state_offset(to, sequence, thread, keys.key(n)), number_cast<E>(h[n]));
  }
  GATESCAN_HD void store_state_gradient(const gradient_sink<C, C>& to, index_t sequence,
                                        const channel_thread& thread, const channel& keys,
                                        const registers<E, Keys>& g) const {
    for (int n = 0; n < Keys; ++n) {
      if (!to.to.given || !thread.active || !keys.holds(n)) continue;
      accumulator<C> sum;
      const cursor<C, IsComplex> at{split.batch_of(sequence), 0, thread.head, keys.key(n),
                                    thread.value};
      at.add(sum, g[n]);
      to.store(at, sequence, 0, sum);
    }
  }
  template <class N>
  GATESCAN_HD void load_row(const scratch_array<N>& from, index_t row, const channel_thread& thread,
                            const channel& keys, registers<N, Keys>& h) const {
    for (int n = 0; n < Keys; ++n) {
      h[n] = number_cast<N>(0);
      if (keys.holds(n)) h[n] = from.load(row, keys.key(n), thread.channel);
    }
  }
  template <class Table, class N>
  GATESCAN_HD void store_row(const Table& to, index_t row, const channel_thread& thread,
                             const channel& keys, const N& h) const {
    for (int n = 0; n < Keys; ++n)
      if (thread.active && keys.holds(n)) to.store(row, keys.key(n), thread.channel, h[n]);
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
