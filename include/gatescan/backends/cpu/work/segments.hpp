#pragma once
// Scan: time in segments. Each is reduced to a summary, which carries the state on to the next, and
// everything else can run from exact states. Workers take segments in order and wait for the state
// that comes in, while what they have just read is still near.

#include <atomic>
#include <memory>
#include <utility>

#include "worker.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// The states between segments, and in backward their gradients.
template <class A, bool Backward>
class segments {
  static_assert(scanning_agent<A> && (!Backward || adjoint_scanning_agent<A>));
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
  }

  /// The state that comes in to an item, and in backward the gradient of the one that goes out.
  const C* state(index_t item) const { return states_ + item * size_; }
  const C* gradient(index_t item) const { return gradients_ + item * size_; }

  /// f(worker) for every item, `state` being what comes in, and afterwards what goes out.
  template <class F>
  void for_each_item(const workers<A, Backward>& all, F&& f) const {
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
    const work_split& split = call_->split;
    parallel_for(call_->backend, split.items(), [&](index_t item, int thread) {
      worker_type w = all.at(thread, item);
      fill(w.g, size_, C(0));
      replay(w, item,
             [&](index_t t, index_t count, const C* in) { w.agent.retreat(r, t, count, in, w.g); });
      copy_numbers(gradients_ + item * size_, w.g, size_);
    });
    parallel_for(call_->backend, split.items() / split.segments, [&](index_t chain, int thread) {
      scan_gradients_of(all, r, chain * split.segments, thread);
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
    if (!first && (!last || Backward)) {
      w.agent.clear_summary(summary);
      fill(w.state, size_, C(0));
      w.for_each_chunk(summary_chunk(), [&](index_t t, index_t count) {
        w.agent.advance(t, count, w.state, w.next);
        w.agent.extend_summary(summary, count);
        std::swap(w.state, w.next);
      });
    }
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
    if constexpr (states_in_frame<A>) w.agent.leave_frame(w.state);
    copy_numbers(states_ + (item + 1) * size_, w.state, size_);
    pass(item + 1);
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
  template <class Results>
  void scan_gradients_of(const workers<A, Backward>& all, const Results& r, index_t first,
                         int thread) const {
    worker_type w = all.at(thread, first);
    w.agent.load_state(r.final_state, w.g);
    for (index_t item = first + call_->split.segments - 1; item > first; --item) {
      C* const g = gradients_ + item * size_;  // the segment's own
      const C* const summary = summaries_ + item * summary_size_;
      const bool finite = w.agent.apply_summary_adjoint(summary, g, w.g, w.next);
      copy_numbers(g, w.g, size_);
      if (finite) {
        std::swap(w.g, w.next);
        continue;
      }
      w.seek(*call_, item);
      replay(w, item, [&](index_t t, index_t count, const C* in) {
        w.g = w.agent.backward(r, {}, t, count, in, w.g, no_bracket{});
      });
    }
    copy_numbers(gradients_ + first * size_, w.g, size_);
  }

  const call<A>* call_ = nullptr;
  index_t size_ = 0, summary_size_ = 0;
  C *summaries_ = nullptr, *states_ = nullptr, *gradients_ = nullptr;
  std::atomic<int>* ready_ = nullptr;  // of the state that comes in
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
