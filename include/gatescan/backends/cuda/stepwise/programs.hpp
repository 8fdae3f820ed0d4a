#pragma once
// Programs of a recurrence with a step of its own, h_t = step(values_t, h_{t-1}) for
// [heads][values] channels: a thread a channel, token by token, the state of [states] numbers in
// registers. Where there is an associative operator, segments of time are reduced with it.

#include <type_traits>

#include "../operands/channel_program.hpp"
#include "../operands/scratch_array.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace stepwise {

// A state as an array, and back.
template <class R, class C>
struct state_numbers {
  using state = typename R::template state_of<C>;
  C of[static_cast<std::size_t>(R::states)];

  GATESCAN_HD static state_numbers from(const state& h) { return bits_as<state_numbers>(h); }
  GATESCAN_HD state whole() const { return bits_as<state>(*this); }
};

// What the programs share.
template <class R, class T>
struct program_base : channel_program<R, T> {
  using C = state_t<T>;
  using state = typename R::template state_of<C>;
  using numbers_type = state_numbers<R, C>;
  static_assert(sizeof(state) == R::states * sizeof(C),
                "gatescan: state_of<R> must hold `states` numbers of type R and nothing else");
  static constexpr int chunk_tokens = tokens_of_history(R::states * sizeof(C));

  template <class Operand>
  GATESCAN_HD static index_t offset(const Operand& x, index_t sequence,
                                    const channel_thread& thread, index_t i) {
    return x.offset(sequence, 0, thread.head) + i * x.key + thread.value * x.value;
  }
  template <class Operand>
  GATESCAN_HD static state load(const Operand& from, index_t sequence,
                                const channel_thread& thread) {
    numbers_type h{};
    for (int i = 0; i < R::states; ++i)
      if (from.given) h.of[i] = from.re[offset(from, sequence, thread, i)];
    return h.whole();
  }
  using state_array = scratch_array<C>;
  GATESCAN_HD static state load(const state_array& from, index_t row,
                                const channel_thread& thread) {
    numbers_type h{};
    for (int i = 0; i < R::states; ++i) h.of[i] = from.load(row, i, thread.channel);
    return h.whole();
  }
  GATESCAN_HD static void store(const state_array& to, index_t row, const channel_thread& thread,
                                const state& h) {
    const auto n = numbers_type::from(h);
    for (int i = 0; thread.active && i < R::states; ++i) to.store(row, i, thread.channel, n.of[i]);
  }
};

template <class R, class C>
auto summary_of() {
  if constexpr (has_combine<R>)
    return R::template identity<C>();
  else
    return C{};
}

// What the tokens of every segment do together.
template <class R, class T>
struct segment_summary : program_base<R, T> {
  static constexpr needs of_beside = needs::nothing;
  using summary = decltype(summary_of<R, state_t<T>>());
  summary* summaries;

  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto here = this->place_of(block);
    const segment& s = here.s;
    const channel_thread& thread = here.thread;
    const operands_of<R, T>& x = here.x;
    summary sum = R::template identity<state_t<T>>();
    for (index_t t = s.tokens.first; t < s.tokens.last; ++t)
      sum = R::combine(R::element_of(x, R::values(x, this->at(t))), sum);
    if (thread.active) summaries[s.slot * this->map.channels() + thread.channel] = sum;
  }
};

// The state at the start of every segment.
template <class R, class T>
struct state_passing : program_base<R, T> {
  const decltype(summary_of<R, state_t<T>>())* summaries;
  typename program_base<R, T>::state_array starts;

  index_t blocks() const { return this->blocks_for(this->split.sequences); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot(), sequence = block.index() / a_slot;
    const channel_thread thread = this->map.at(block.index() % a_slot, block.thread());
    auto h = this->load(this->p.initial_state, sequence, thread);
    const index_t pieces = this->split.used_slots(sequence);
    for (index_t i = 0; i < pieces; ++i) {
      const index_t slot = this->split.first_slot(sequence) + i;
      this->store(starts, slot, thread, h);
      h = R::apply(summaries[slot * this->map.channels() + thread.channel], h);
    }
  }
};

// Outputs and final states.
template <class R, class T>
struct segment_scan : program_base<R, T> {
  using base = program_base<R, T>;
  typename base::state_array starts;  // of segments, where time is split
  operand<storage_t<T>> out;
  operand<typename base::C> final_state;

  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto here = this->place_of(block);
    const segment& s = here.s;
    const channel_thread& thread = here.thread;
    const operands_of<R, T>& x = here.x;
    const auto to = this->of_channel(out, here);
    auto h = starts.first != nullptr ? this->load(starts, s.slot, thread)
                                     : this->load(this->p.initial_state, s.sequence, thread);
    for (index_t t = s.tokens.first; t < s.tokens.last; ++t) {
      const auto w = R::values(x, this->at(t));
      h = R::step(x, w, h);
      if (out.given && thread.active)
        to.re[t * to.time] = convert<storage_t<T>>(R::output(x, this->at(t), w, h));
    }
    if (!final_state.given || !s.closes || !thread.active) return;
    const auto n = base::numbers_type::from(h);
    for (int i = 0; i < R::states; ++i)
      final_state.re[this->offset(final_state, s.sequence, thread, i)] = n.of[i];
  }
};

// Gradients of whole sequences: states at the starts of chunks are kept, the others found again.
template <class R, class T>
struct sequence_adjoint : program_base<R, T> {
  using base = program_base<R, T>;
  using C = typename base::C;
  using S = storage_t<T>;
  using state = typename base::state;
  using collector = gpu::collector<R, T, false, 1, base::chunk_tokens, true>;
  operand<const S> d_out;
  operand<const C> d_final_state;
  typename base::state_array kept;
  collector collect;
  gradient_sink<C, C> initial_state;

  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const {
    return collect.shared_bytes() +
           shared_size<state>((base::chunk_tokens + 1) * this->map.block_threads);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto here = this->place_of(block);
    const segment& s = here.s;
    const channel_thread& thread = here.thread;
    const operands_of<R, T>& x = here.x;
    const auto partials = collect.storage(block);
    const auto states = block.template shared<state>((base::chunk_tokens + 1) * block.threads());
    const shared_tokens<state, std::remove_const_t<decltype(states)>> history{
        states, block.thread(), block.threads()};
    const operand<const S> own_d_out = this->of_channel(d_out, here);

    state h = this->load(this->p.initial_state, s.sequence, thread);
    for (index_t t = s.tokens.first; t < s.tokens.last; ++t) {
      if ((t - s.tokens.first) % base::chunk_tokens == 0)
        this->store(kept, this->split.chunk_row(s, t, base::chunk_tokens), thread, h);
      h = R::step(x, R::values(x, this->at(t)), h);
    }
    state g = this->load(d_final_state, s.sequence, thread);
    const auto restore = [&](index_t t, int count) {
      history.put(0, this->load(kept, this->split.chunk_row(s, t, base::chunk_tokens), thread));
      for (int j = 0; j < count; ++j)
        history.put(j + 1, R::step(x, R::values(x, this->at(t + j)), history.at(j)));
    };
    const auto adjoint = [&](const auto& d, index_t t, int j) {
      const auto at = this->at(t + j);
      const auto w = R::values(x, at);
      std::remove_const_t<decltype(w)> d_w{};
      const C to_out = d_out.given ? convert<C>(own_d_out.re[(t + j) * own_d_out.time]) : C(0);
      R::output_adjoint(x, d, at, w, d_w, history.at(j + 1), to_out, g);
      g = R::step_adjoint(x, w, d_w, history.at(j), g);
      R::values_adjoint(x, d, at, w, d_w);
    };
    base::template against_time<base::chunk_tokens>(collect, block, partials, here, restore,
                                                    adjoint);
    if (!s.opens || !thread.active || !initial_state.to.given) return;
    const auto n = base::numbers_type::from(g);
    for (int i = 0; i < R::states; ++i) {
      accumulator<C> sum;
      sum.re = n.of[i];
      initial_state.store(cursor<C, false>{s.batch, 0, thread.head, i, thread.value}, s.sequence, 0,
                          sum);
    }
  }
};

}  // namespace stepwise
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
