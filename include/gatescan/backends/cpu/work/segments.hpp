#pragma once
// Scan: time in segments. Each is reduced to a summary, which carries the state on to the next, and
// everything else can run from exact states. Workers take segments in order and wait for the state
// that comes in, while what they have just read is still near. Of a piece of time all segments are
// reduced first: states come from a neighbour and go on to the next one before anything else runs.

#include <atomic>
#include <memory>
#include <utility>

#include "chains.hpp"
#include "worker.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// The states between segments, and in backward their gradients.
template <class A, bool Backward>
class segments {
  static_assert(scanning_agent<A> && (!Backward || differentiable_agent<A>));
  using C = typename A::C;
  using worker_type = worker<A, Backward>;

 public:
  segments() = default;
  segments(arena& memory, const call<A>& c) : call_(&c) {
    arena one;
    const A agent(one, c.p, c.how, Backward);
    size_ = agent.state_size(), summary_size_ = agent.summary_size();
    summaries_ = memory.take<C>(c.split.items() * summary_size_);
    states_ = memory.take<C>(c.split.items() * size_);
    ready_ = memory.take<std::atomic<int>>(c.split.items());
    if (Backward) gradients_ = memory.take<C>(c.split.items() * size_);
    if (c.p.beside == nullptr) return;
    locals_ = memory.take<C>(c.split.items() * size_);
    edge_ = memory.take<C>(c.split.heads * c.split.value_blocks * size_);
  }

  /// The state that comes in to an item, and in backward the gradient of the one that goes out.
  const C* state(index_t item) const { return states_ + item * size_; }
  const C* gradient(index_t item) const { return gradients_ + item * size_; }

  /// f(worker) for every item, `state` being what comes in, and afterwards what goes out.
  template <class F>
  void for_each_item(const workers<A, Backward>& all, F&& f) const {
    if (call_->p.beside != nullptr) return for_each_item_of_piece(all, f);
    begin();
    parallel_for(call_->backend, call_->split.items(), [&](index_t item, int thread) {
      worker_type w = all.at(thread, item);
      const bool handed_on = hand_on(w, item);
      f(w, item, handed_on);
      if (!handed_on) hand_on_exactly(w, item);
    });
  }
  /// States alone.
  void scan_states(const workers<A, Backward>& all) const {
    for_each_item(all, [&](worker_type& w, index_t, bool handed_on) {
      if (!handed_on) w.advance(summary_chunk());
    });
  }
  /// gradients_, after scan_states: those of each segment on its own first, then from the last
  /// segment to the first.
  template <class Results>
  void scan_gradients(const workers<A, Backward>& all, const Results& r) const {
    if constexpr (A::adjoint_scans)
      parallel_for(call_->backend, call_->split.items(), [&](index_t item, int thread) {
        worker_type w = all.at(thread, item);
        fill(w.g, size_, C(0));
        replay(w, item, [&](index_t t, index_t count, const C* in) {
          w.agent.retreat(r, t, count, in, w.g);
        });
        copy_numbers(gradients_ + item * size_, w.g, size_);
      });
    chains<A>{*call_, side::after, size_, edge_}.for_each([&](index_t first, int thread, C* edge) {
      scan_gradients_of(all, r, first, thread, edge);
    });
  }

 private:
  void begin() const {
    for (index_t item = 0; item < call_->split.items(); ++item)
      std::construct_at(ready_ + item, call_->segment_of(item) == 0 ? 1 : 0);
  }
  void pass(index_t next) const {
    ready_[next].store(1, std::memory_order_release);
    ready_[next].notify_one();
  }
  void wait_for(index_t item) const { ready_[item].wait(0, std::memory_order_acquire); }

  index_t summary_chunk() const {  // what the agent has room for
    return Backward ? call_->how.backward_chunk : call_->how.forward_chunk;
  }

  // Leaves the state that comes in in w.state, and carries it on to the next segment. False where
  // that has to come from the tokens: there Inf or NaN comes out, and resets are exact only there.
  bool hand_on(worker_type& w, index_t item) const {
    C *const state = states_ + item * size_, *const summary = summaries_ + item * summary_size_;
    const bool first = call_->segment_of(item) == 0, last = call_->ends_sequence(item);
    // in backward the last segment's summary takes gradients through it
    if (!first && (!last || Backward)) summarise(w, summary);
    if (first)
      w.agent.load_state(call_->p.initial_state, state);
    else
      wait_for(item);
    bool handed_on = last;
    if (!first && !last) {
      handed_on = w.agent.apply_summary(summary, w.state, state, state + size_);
      if (handed_on) pass(item + 1);
    }
    copy_numbers(w.state, state, size_);
    return handed_on;
  }
  void hand_on_exactly(worker_type& w, index_t item) const {
    hand_over(w, states_ + (item + 1) * size_);
    pass(item + 1);
  }
  static void hand_over(worker_type& w, C* to) {
    if constexpr (states_in_frame<A>) w.agent.leave_frame(w.state);
    copy_numbers(to, w.state, w.size());
  }
  // A segment's gates, and in w.state what it makes of no state.
  void summarise(worker_type& w, C* summary) const {
    w.agent.clear_summary(summary);
    w.agent.load_state(state_operands<const C>{}, w.state);
    w.for_each_chunk(summary_chunk(), [&](index_t t, index_t count) {
      w.agent.advance(t, count, w.state, w.next);
      w.agent.extend_summary(summary, count);
      std::swap(w.state, w.next);
    });
  }

  // A piece's first segments run at once where their sequences begin, while the others are reduced;
  // the others when their states have come, and have gone on to the neighbour.
  template <class F>
  void for_each_item_of_piece(const workers<A, Backward>& all, F&& f) const {
    parallel_for(call_->backend, call_->split.items(), [&](index_t item, int thread) {
      worker_type w = all.at(thread, item);
      const bool ends = call_->ends_sequence(item);
      if (call_->begins_sequence(item)) {
        w.agent.load_state(call_->p.initial_state, states_ + item * size_);
        copy_numbers(w.state, state(item), size_);
        f(w, item, ends);
        if (!ends) hand_over(w, locals_ + item * size_);
      } else if (!ends || Backward) {
        summarise(w, summaries_ + item * summary_size_);
        copy_numbers(locals_ + item * size_, w.state, size_);
      }
    });
    chains<A>{*call_, side::before, size_, edge_}.for_each(
        [&](index_t first, int thread, C* edge) { pass_states_along(all, first, thread, edge); });
    parallel_for(call_->backend, call_->split.items(), [&](index_t item, int thread) {
      if (call_->begins_sequence(item)) return;
      worker_type w = all.at(thread, item);
      copy_numbers(w.state, state(item), size_);
      f(w, item, true);
    });
  }
  void pass_states_along(const workers<A, Backward>& all, index_t first, int thread,
                         C* edge) const {
    worker_type w = all.at(thread, first);
    if (!call_->begins_sequence(first)) copy_numbers(states_ + first * size_, edge, size_);
    const index_t end = first + call_->split.segments;
    for (index_t item = first; item < end && !call_->ends_sequence(item); ++item) {
      C* const after = item + 1 < end ? states_ + (item + 1) * size_ : edge;
      const C* const local = locals_ + item * size_;
      if (call_->begins_sequence(item)) {
        copy_numbers(after, local, size_);
      } else if (!w.agent.apply_summary(summaries_ + item * summary_size_, local, state(item),
                                        after)) {
        w.seek(*call_, item);
        copy_numbers(w.state, state(item), size_);
        w.advance(summary_chunk());
        hand_over(w, after);
      }
    }
  }

  // f(token, count, state before them) for an item's chunks, from the last to the first
  template <class F>
  void replay(worker_type& w, index_t item, F&& f) const {
    const index_t chunk = call_->how.backward_chunk;
    copy_numbers(w.state, state(item), size_);
    w.keep_states(chunk);
    w.for_each_chunk_backwards(
        chunk, [&](index_t i, index_t t, index_t count) { f(t, count, w.kept + i * size_); });
  }
  // edge: the gradient that comes from a neighbour, and what goes on to the other one.
  template <class Results>
  void scan_gradients_of(const workers<A, Backward>& all, const Results& r, index_t first,
                         int thread, C* edge) const {
    worker_type w = all.at(thread, first);
    const index_t last = first + call_->split.segments - 1;
    if (call_->ends_sequence(last))
      w.agent.load_state(r.final_state, w.g);
    else
      copy_numbers(w.g, static_cast<const C*>(edge), size_);
    for (index_t item = last; item > first; --item) carry_gradient(w, r, item);
    if (call_->begins_sequence(first)) {
      copy_numbers(gradients_ + first * size_, w.g, size_);
    } else {
      carry_gradient(w, r, first);
      copy_numbers(edge, w.g, size_);
    }
  }
  // w.g from the gradient of the state after an item, which is kept, to that of the one before it.
  template <class Results>
  void carry_gradient(worker_type& w, const Results& r, index_t item) const {
    C* const g = gradients_ + item * size_;  // the segment's own
    bool finite = false;
    if constexpr (A::adjoint_scans)
      finite = w.agent.apply_summary_adjoint(summaries_ + item * summary_size_, g, w.g, w.next);
    copy_numbers(g, w.g, size_);
    if (finite) return std::swap(w.g, w.next);
    w.seek(*call_, item);
    replay(w, item, [&](index_t t, index_t count, const C* in) {
      w.g = w.agent.backward(r, {}, t, count, in, w.g, no_bracket{});
    });
  }

  const call<A>* call_ = nullptr;
  index_t size_ = 0, summary_size_ = 0;
  C *summaries_ = nullptr, *states_ = nullptr, *gradients_ = nullptr;
  C *locals_ = nullptr, *edge_ = nullptr;  // of a piece: what segments make of 0; what crosses
  std::atomic<int>* ready_ = nullptr;      // of the state that comes in
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
