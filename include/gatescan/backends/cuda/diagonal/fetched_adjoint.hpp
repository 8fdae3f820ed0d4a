#pragma once
// Gradients of many channels in one pass over memory against time (fetched_program.hpp,
// thread_adjoint.hpp), from states at the starts of threads' tokens.

#include "fetched_program.hpp"
#include "thread_adjoint.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

// As segment_adjoint, of whole sequences.
template <class R, class T, bool IsComplex>
struct fetched_adjoint : fetched_program<R, T, IsComplex, true> {
  using base = fetched_program<R, T, IsComplex, true>;
  using base::rooms, base::thread_tokens;
  using typename base::C, typename base::D, typename base::E, typename base::S,
      typename base::channel, typename base::seat, typename base::own_operands;
  using adjoint = thread_adjoint<R, T, IsComplex>;
  using collector_type = typename adjoint::collector_type;
  using wide_sums = typename adjoint::wide_sums;
  operand<const S> d_out;
  scratch_array<E> kept;  // states at the starts of threads' tokens
  collector_type collect;
  operand<const C> final_state;  // its gradient
  gradient_sink<C, C> initial_state;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot();
    const segment s = this->split.at(block.index() / a_slot);
    const seat own = this->seat_of(block);
    channel_thread thread = this->map.at(block.index() % a_slot, own.lane);
    const bool stores = thread.active;
    thread.active = stores && own.run == 0;
    const channel keys(this->p.x, thread, s.batch, this->map);
    own_operands operands(keys, thread);
    operands.d_out = d_out.of_head(s.batch, thread.head, thread.value);
    const auto memory = base::memory_of(block);
    registers<D, 1> g;  // after the tile
    this->load_state(final_state, s.sequence, thread, keys, g);
    const index_t tiles = ceil_divide(s.tokens.count(), own.tile());
    const auto first_of = [&](index_t tile, int nth) {
      return s.tokens.first + tile * own.tile() + nth * thread_tokens;
    };
    index_t fetched = tiles - 1;  // not on its way yet
    int next_room = 0, this_room = 0, turn = 0;
    const auto fetch = [&] {
      const index_t t = first_of(fetched, own.run);
      base::fetch(block, operands, memory, next_room, t, fetched < 0 ? 0 : base::count_at(t, s));
      --fetched;
      next_room = next_room + 1 == rooms ? 0 : next_room + 1;
    };
    for (int i = 0; i < rooms - 1; ++i) fetch();
    E next_start = start(s, first_of(tiles - 1, own.run), thread);
    wide_sums total{};
    for (index_t tile = tiles - 1; tile >= 0; --tile) {
      const index_t mine = first_of(tile, own.run);
      const int count = base::count_at(mine, s);
      const bool whole = s.tokens.last - first_of(tile, 0) >= own.tile();
      const E before = next_start;
      next_start = start(s, mine - own.tile(), thread);
      adjoint run;
      block.template wait_for_fetches<rooms - 2>();
      base::with_form(whole, [&]<bool Whole>() {
        again<Whole>(operands, memory, this_room, block.thread(), count, before, run);
        memory.tell(turn, block.thread(), run.template step_back<Whole>(count));
      });
      block.sync();
      const D after = g[0];
      D in = after;
      for (int n = own.runs - 1; n >= 0; --n) {
        if (n == own.run) in = g[0];
        g[0] = memory.told(turn, own.of_run(n)).of(g[0]);
      }
      if (!is_finite(number_cast<E>(in)) || !is_finite(number_cast<E>(g[0])))
        one_by_one(operands, memory, this_room, s, first_of(tile, 0), own, thread, after, in, g[0]);
      fetch();
      this_room = this_room + 1 == rooms ? 0 : this_room + 1;
      turn = 1 - turn;
      base::with_form(whole, [&]<bool Whole>() {
        typename adjoint::gradients d;
        run.template of_tokens<Whole>(count, number_cast<E>(in), d, total);
        if (stores) leave_tokens<Whole>(s, thread, mine, count, d);
      });
      if constexpr (!IsComplex)
        if (stores) leave_zeros(s, thread, mine, count);
    }
    leave_totals(block, memory.steps, s, thread, own, total);
    if (s.opens) {
      const registers<E, 1> first = {number_cast<E>(g[0])};
      this->store_state_gradient(initial_state, s.sequence, thread, keys, first);
    }
  }

 private:
  // The state before token t of a thread; 0 where the segment has no such token.
  GATESCAN_HD E start(const segment& s, index_t t, const channel_thread& thread) const {
    if (t < s.tokens.first || t >= s.tokens.last) return number_cast<E>(0);
    return kept.load(this->split.chunk_row(s, t, thread_tokens), 0, thread.channel);
  }
  template <bool Whole, class Memory>
  GATESCAN_HD void again(const own_operands& operands, const Memory& memory, int room,
                         int of_thread, int count, E before, adjoint& run) const {
    run.d_out = {};
    this->template take<Whole>(operands, memory, room, of_thread, count, run.x, run.d_out);
    run.template go_on_from<Whole>(before, count);
  }
  // Inf or NaN: every token of the tile as the recurrence stands, as in fetched_scan.
  template <class Memory>
  GATESCAN_HD void one_by_one(const own_operands& operands, const Memory& memory, int room,
                              const segment& s, index_t t, const seat& own,
                              const channel_thread& thread, D after, D& in, D& end) const {
    E g = number_cast<E>(after);
    for (int n = own.runs - 1; n >= 0; --n) {
      if (n == own.run && !is_finite(number_cast<E>(in))) in = number_cast<D>(g);
      const index_t of_run = t + n * thread_tokens;
      const int count = base::count_at(of_run, s);
      adjoint run;
      again<false>(operands, memory, room, own.of_run(n), count, start(s, of_run, thread), run);
      g = run.template back_from<false>(g, count);
    }
    if (!is_finite(number_cast<E>(end))) end = number_cast<D>(g);
  }
  template <bool Whole>
  GATESCAN_HD void leave_tokens(const segment& s, const channel_thread& thread, index_t t,
                                int count, const typename adjoint::gradients& d) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto& own) {
          if (!sink.to.given || !a.has(axis::time)) return;
          const index_t o = place_of(a, sink, s, thread, t);
          sink.with_plane(0, [&](auto* to) { put<Whole>(to + o, sink.by_token, count, own.re); });
          if constexpr (IsComplex)
            if (sink.to.im != nullptr)
              sink.with_plane(1,
                              [&](auto* to) { put<Whole>(to + o, sink.by_token, count, own.im); });
        },
        collect.to, d);
  }
  template <bool Whole, class To>
  GATESCAN_HD static void put(To* to, index_t by, int count, const registers<C, thread_tokens>& x) {
    base::template for_tokens<Whole>(count, [&](int i) {
      *to = convert<To>(x[i]);
      to += by;
    });
  }
  // Imaginary parts of real gradients.
  GATESCAN_HD void leave_zeros(const segment& s, const channel_thread& thread, index_t t,
                               int count) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink) {
          if (sink.to.im == nullptr || !a.has(axis::time)) return;
          const index_t o = place_of(a, sink, s, thread, t);
          for (int i = 0; i < count; ++i) sink.store_imaginary_zero(o + i * sink.by_token);
        },
        collect.to);
  }
  template <class Sink>
  GATESCAN_HD index_t place_of(const axes& a, const Sink& sink, const segment& s,
                               const channel_thread& thread, index_t t) const {
    return adjoint::place_of(collect, a, sink, s, thread) + t * sink.by_token;
  }
  // Of what has no tokens: over the runs of a channel, in their order.
  template <class Block, class Sums>
  GATESCAN_HD void leave_totals(Block& block, const Sums& sums, const segment& s,
                                const channel_thread& thread, const seat& own,
                                const wide_sums& total) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto& of_run) {
          if (!sink.to.given || a.has(axis::time)) return;
          block.sync();  // what was there is read
          if constexpr (IsComplex)
            sums[block.thread()] = D{of_run.re, of_run.im};
          else
            sums[block.thread()] = of_run.re;
          block.sync();
          if (!thread.active) return;
          D sum = number_cast<D>(0);
          for (int n = 0; n < own.runs; ++n) sum = sum + D(sums[own.of_run(n)]);
          accumulator<double> of_channel;
          cursor<double, IsComplex>{}.add(of_channel, sum);
          sink.store(adjoint::cursor_at(s, thread), collect.lead(sink, s),
                     collect.copy(a, sink, thread, s), collector_type::narrow(of_channel));
        },
        collect.to, total);
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
