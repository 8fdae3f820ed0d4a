#pragma once
// Programs of a recurrence with a step of its own: a thread a channel, token by token, the state in
// registers. Where there is an associative operator, segments of time are reduced with it.

#include <type_traits>

#include "../../../core/problem.hpp"
#include "../diagonal/collect.hpp"
#include "../diagonal/lanes.hpp"
#include "../diagonal/layout.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace stepwise {

using diagonal::channel_map, diagonal::lane, diagonal::segment, diagonal::time_cut;

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
struct task {
  using C = state_t<T>;
  using S = storage_t<T>;
  using spot = place<C, false>;
  using operands = typename R::template fields<operand<const S>>;
  using state = typename R::template state_of<C>;
  using numbers_type = state_numbers<R, C>;
  static_assert(sizeof(state) == R::states * sizeof(C),
                "gatescan: state_of<R> must hold `states` numbers of type R and nothing else");
  // tokens between states that backward keeps: what lies between is in shared memory
  static constexpr int run_that_fits = 512 / static_cast<int>(R::states * sizeof(C)) - 1;
  static constexpr int run = run_that_fits < 1 ? 1 : run_that_fits > 16 ? 16 : run_that_fits;

  problem_of<R, T> p;
  channel_map map;
  time_cut cut;

  int threads() const { return map.block_threads; }
  int shared_bytes() const { return 0; }
  index_t blocks_for(index_t slot_count) const { return slot_count * map.blocks_a_slot(); }

  GATESCAN_HD operands of(const lane& l, index_t batch) const {
    operands x = p.x;
    R::operands([&](const char*, const axes&, presence, const auto& from,
                    auto& to) { to = from.of_head(batch, l.head, l.value); },
                p.x, x);
    return x;
  }
  GATESCAN_HD static spot at(index_t t) { return {0, t, 0, 0, 0}; }

  template <class Operand>
  GATESCAN_HD static index_t offset(const Operand& x, index_t sequence, const lane& l, index_t i) {
    return x.offset(sequence, 0, l.head) + i * x.key + l.value * x.value;
  }
  template <class Operand>
  GATESCAN_HD static state load(const Operand& from, index_t sequence, const lane& l) {
    numbers_type h{};
    for (int i = 0; i < R::states; ++i)
      if (from.given) h.of[i] = from.re[offset(from, sequence, l, i)];
    return h.whole();
  }
  using table = diagonal::table<C>;
  GATESCAN_HD static state load(const table& from, index_t row, const lane& l) {
    numbers_type h{};
    for (int i = 0; i < R::states; ++i) h.of[i] = from.load(row, i, l.channel);
    return h.whole();
  }
  GATESCAN_HD static void store(const table& to, index_t row, const lane& l, const state& h) {
    const auto n = numbers_type::from(h);
    for (int i = 0; l.active && i < R::states; ++i) to.store(row, i, l.channel, n.of[i]);
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
struct summarise : task<R, T> {
  using summary = decltype(summary_of<R, state_t<T>>());
  summary* summaries;

  index_t blocks() const { return this->blocks_for(this->cut.slot_count()); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot();
    const segment s = this->cut.at(block.index() / a_slot);
    const lane l = this->map.at(block.index() % a_slot, block.thread());
    const auto x = this->of(l, s.batch);
    summary sum = R::template identity<state_t<T>>();
    for (index_t t = s.first; t < s.last; ++t)
      sum = R::combine(R::element_of(x, R::values(x, this->at(t))), sum);
    if (l.active) summaries[s.slot * this->map.channels() + l.channel] = sum;
  }
};

// The state at the start of every segment.
template <class R, class T>
struct carry : task<R, T> {
  const decltype(summary_of<R, state_t<T>>())* summaries;
  typename task<R, T>::table starts;

  index_t blocks() const { return this->blocks_for(this->cut.sequences); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot(), sequence = block.index() / a_slot;
    const lane l = this->map.at(block.index() % a_slot, block.thread());
    auto h = this->load(this->p.initial_state, sequence, l);
    const index_t pieces = this->cut.used_slots(sequence);
    for (index_t i = 0; i < pieces; ++i) {
      const index_t slot = this->cut.first_slot(sequence) + i;
      this->store(starts, slot, l, h);
      h = R::apply(summaries[slot * this->map.channels() + l.channel], h);
    }
  }
};

template <class R, class T>
struct walk : task<R, T> {
  using base = task<R, T>;
  typename base::table starts;  // of segments, where time is cut
  operand<typename base::S> out;
  operand<typename base::C> final_state;

  index_t blocks() const { return this->blocks_for(this->cut.slot_count()); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot();
    const segment s = this->cut.at(block.index() / a_slot);
    const lane l = this->map.at(block.index() % a_slot, block.thread());
    const auto x = this->of(l, s.batch);
    const auto to = out.of_head(s.batch, l.head, l.value);
    auto h = starts.first != nullptr ? this->load(starts, s.slot, l)
                                     : this->load(this->p.initial_state, s.sequence, l);
    for (index_t t = s.first; t < s.last; ++t) {
      const auto w = R::values(x, this->at(t));
      h = R::step(x, w, h);
      if (out.given && l.active)
        to.re[t * to.time] = convert<storage_t<T>>(R::output(x, this->at(t), w, h));
    }
    if (!final_state.given || !s.closes || !l.active) return;
    const auto n = base::numbers_type::from(h);
    for (int i = 0; i < R::states; ++i)
      final_state.re[this->offset(final_state, s.sequence, l, i)] = n.of[i];
  }
};

// Gradients of whole sequences: states at the starts of runs are kept, the others found again.
template <class R, class T>
struct differentiate : task<R, T> {
  using base = task<R, T>;
  using C = typename base::C;
  using S = typename base::S;
  using state = typename base::state;
  using collector = diagonal::collector<R, T, false, 1, base::run, true>;
  operand<const S> d_out;
  operand<const C> d_final_state;
  typename base::table kept;
  collector collect;
  gradient_sink<C, C> initial_state;

  index_t blocks() const { return this->blocks_for(this->cut.slot_count()); }
  int shared_bytes() const {
    return collect.shared_bytes() + shared_size<state>((base::run + 1) * this->map.block_threads);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot();
    const segment s = this->cut.at(block.index() / a_slot);
    const lane l = this->map.at(block.index() % a_slot, block.thread());
    const auto x = this->of(l, s.batch);
    const auto meeting = collect.room(block);
    const auto states = block.template shared<state>((base::run + 1) * block.threads());
    const diagonal::shared_tokens<state, std::remove_const_t<decltype(states)>> history{
        states, block.thread(), block.threads()};
    const operand<const S> own_d_out = d_out.of_head(s.batch, l.head, l.value);

    state h = this->load(this->p.initial_state, s.sequence, l);
    for (index_t t = s.first; t < s.last; ++t) {
      if ((t - s.first) % base::run == 0)
        this->store(kept, this->cut.run_row(s, t, base::run), l, h);
      h = R::step(x, R::values(x, this->at(t)), h);
    }
    state g = this->load(d_final_state, s.sequence, l);
    typename collector::sums own{};
    typename collector::wide_sums total{};
    for (index_t i = (s.last - s.first + base::run - 1) / base::run - 1; i >= 0; --i) {
      const index_t t = s.first + i * base::run;
      const int count = static_cast<int>(s.last - t < base::run ? s.last - t : base::run);
      history.put(0, this->load(kept, this->cut.run_row(s, t, base::run), l));
      for (int j = 0; j < count; ++j)
        history.put(j + 1, R::step(x, R::values(x, this->at(t + j)), history.at(j)));
      for (int j = count - 1; j >= 0; --j) {
        const auto at = this->at(t + j);
        collector::forget_tokens(own);
        const auto w = R::values(x, at);
        std::remove_const_t<decltype(w)> d_w{};
        const C to_out = d_out.given ? convert<C>(own_d_out.re[(t + j) * own_d_out.time]) : C(0);
        R::output_adjoint(x, own.of_channel, at, w, d_w, history.at(j + 1), to_out, g);
        g = R::step_adjoint(x, w, d_w, history.at(j), g);
        R::values_adjoint(x, own.of_channel, at, w, d_w);
        collect.leave_channel(block, meeting, l, s, t + j, j, true, own.of_channel);
      }
      collect.template flush<true>(block, meeting, l, s, t, count);
      collector::add_to_total(own, total);
    }
    collect.leave_totals(block, meeting, l, s, total);
    collect.template flush<false>(block, meeting, l, s, 0, 1);
    if (!s.opens || !l.active || !initial_state.to.given) return;
    const auto n = base::numbers_type::from(g);
    for (int i = 0; i < R::states; ++i) {
      accumulator<C> sum;
      sum.re = n.of[i];
      initial_state.store(place<C, false>{s.batch, 0, l.head, i, l.value}, s.sequence, 0, sum);
    }
  }
};

}  // namespace stepwise
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
