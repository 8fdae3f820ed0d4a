#pragma once
// States and outputs of many channels in one pass over memory (fetched_program.hpp).

#include "fetched_program.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

// As segment_scan: outputs, final states, and states at the starts of chunks.
template <class R, class T, bool IsComplex>
struct fetched_scan : fetched_program<R, T, IsComplex, false> {
  static constexpr needs of_beside = needs::state;
  using base = fetched_program<R, T, IsComplex, false>;
  using base::rooms, base::thread_tokens;
  using typename base::C, typename base::E, typename base::S, typename base::W,
      typename base::channel, typename base::loaded, typename base::numbers, typename base::place,
      typename base::seat, typename base::own_operands;
  scratch_array<W> states;  // at the starts of segments, where time is split
  operand<S> out;
  operand<C> final_state;
  scratch_array<E> kept{};

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot();
    const segment s = this->split.at(block.index() / a_slot);
    const seat own = this->seat_of(block);
    channel_thread thread = this->map.at(block.index() % a_slot, own.lane);
    const bool stores = thread.active;
    thread.active = stores && own.run == 0;
    const channel keys(this->p.x, thread, s.batch, this->map);
    const own_operands operands(keys, thread);
    const auto memory = base::memory_of(block);
    registers<W, 1> h;  // before the tile
    if (states.first != nullptr)
      this->load_row(states, s.slot, thread, keys, h);
    else
      this->load_state(this->p.initial_state, s.sequence, thread, keys, h);
    const operand<S> to = out.of_head(s.batch, thread.head, thread.value);
    index_t fetched = s.tokens.first + own.run * thread_tokens;  // of this run, not on its way yet
    int next_room = 0, this_room = 0, turn = 0;
    const auto fetch = [&] {
      base::fetch(block, operands, memory, next_room, fetched, base::count_at(fetched, s));
      fetched += own.tile();
      next_room = next_room + 1 == rooms ? 0 : next_room + 1;
    };
    for (int i = 0; i < rooms - 1; ++i) fetch();
    for (index_t t = s.tokens.first; t < s.tokens.last; t += own.tile()) {
      const index_t mine = t + own.run * thread_tokens;
      const int count = base::count_at(mine, s);
      const bool whole = s.tokens.last - t >= own.tile();
      loaded x;
      numbers gates, inputs;
      block.template wait_for_fetches<rooms - 2>();
      base::with_form(whole, [&]<bool Whole>() {
        typename base::tokens none;
        this->template take<Whole>(operands, memory, this_room, block.thread(), count, x, none);
        memory.tell(turn, block.thread(), base::template own_step<Whole>(x, count, gates, inputs));
      });
      block.sync();
      const W before = h[0];
      W in = before;
      for (int n = 0; n < own.runs; ++n) {
        if (n == own.run) in = h[0];
        h[0] = memory.told(turn, own.of_run(n)).of(h[0]);
      }
      if (!is_finite(number_cast<E>(in)) || !is_finite(number_cast<E>(h[0])))
        one_by_one(operands, memory, this_room, s, t, own, before, in, h[0]);
      fetch();
      this_room = this_room + 1 == rooms ? 0 : this_room + 1;
      turn = 1 - turn;
      E state = number_cast<E>(in);
      if (kept.first != nullptr && stores && count > 0)
        kept.store(this->split.chunk_row(s, mine, thread_tokens), 0, thread.channel, state);
      if (!out.given || !stores) continue;
      index_t o = mine * to.time;
      base::with_form(whole, [&]<bool Whole>() {
        base::template for_tokens<Whole>(count, [&](int i) {
          state = base::next(gates[i], inputs[i], state);
          const place at{i};
          store_number(to, o, R::output(x, at, R::values(x, at), state));
          o += to.time;
        });
      });
    }
    if (final_state.given && s.closes) this->store_state(final_state, s.sequence, thread, keys, h);
  }

 private:
  // Inf or NaN: every token of the tile as the recurrence stands, where a reset is exact and
  // nothing overflows that the definition does not overflow. What is finite stays.
  template <class Memory>
  GATESCAN_HD void one_by_one(const own_operands& operands, const Memory& memory, int room,
                              const segment& s, index_t t, const seat& own, W before, W& in,
                              W& end) const {
    E state = number_cast<E>(before);
    for (int n = 0; n < own.runs; ++n) {
      if (n == own.run && !is_finite(number_cast<E>(in))) in = number_cast<W>(state);
      const int count = base::count_at(t + n * thread_tokens, s);
      loaded x;
      typename base::tokens none;
      this->template take<false>(operands, memory, room, own.of_run(n), count, x, none);
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
