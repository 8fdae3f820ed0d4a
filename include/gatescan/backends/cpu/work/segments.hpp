#pragma once
// Scan: time in segments. Each is reduced to a summary, which carries the state on to the next, and
// everything else can run from exact states. Workers take segments in order and wait for the state
// that comes in, while what they have just read is still near. Of a piece of time all segments are
// reduced first: states come from a neighbour and go on to the next one before anything else runs.

#include <atomic>
#include <memory>
#include <utility>

#include "chains.hpp"
#include "early_run.hpp"
#include "heads_together.hpp"

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
    const bool is_piece = c.p.beside != nullptr;
    if (Backward)
      gradients_ = memory.take<C>(c.split.items() * size_);
    else if (forgetting_agent<A>)
      kept_ = memory.take<C>((is_piece ? c.split.items() : c.worker_count()) * kept_states::count *
                             size_);
    if (!is_piece) return;
    locals_ = memory.take<C>(c.split.items() * size_);
    early_ = memory.take<bool>(c.split.items());
    edge_ = memory.take<C>(chains<A>::crossing(c) * size_);
  }

  /// The state that comes in to an item, and in backward the gradient of the one that goes out.
  const C* state(index_t item) const { return states_ + item * size_; }
  const C* gradient(index_t item) const { return gradients_ + item * size_; }

  /// Every item by `run`, from the state that comes in: run(w, token, count) takes w.state past
  /// some tokens, run.end(w, item) comes after the last of them.
  template <class Run>
  void for_each_item(const workers<A, Backward>& all, const Run& run) const {
    if (call_->p.beside != nullptr) {
      begin_piece(all, run);
      pass_states(all, run);
      return settle();
    }
    begin();
    parallel_for(call_->backend, call_->split.items(), [&](index_t item, int thread) {
      worker_type w = all.at(thread, item);
      C* const kept = kept_of(thread);
      bool early = false;
      const bool handed_on = hand_on(w, item, run, kept, early);
      if (handed_on && !Run::has_results) return;
      run_from_exact<A, Run> exact{&run, kept, early && handed_on};
      exact.begin(w, chunk());
      w.for_each_chunk(chunk(), [&](index_t t, index_t count) { exact.take(w, t, count); });
      run.end(w, item);
      if (!handed_on) hand_on_exactly(w, item);
    });
  }
  /// The states between segments, and their gradients: those of each segment on its own first, then
  /// from the last segment to the first.
  template <class Results>
  void scan(const workers<A, Backward>& all, const Results& r) const {
    const states_alone run;
    const bool is_piece = call_->p.beside != nullptr;
    const bool reads_states = A::adjoint_scans && retreat_reads_states();
    if (!is_piece)
      for_each_item(all, run);
    else
      begin_piece(all, run);
    if (is_piece && reads_states) pass_states(all, run);
    if constexpr (A::adjoint_scans)
      parallel_for(call_->backend, call_->split.items(), [&](index_t item, int thread) {
        if (call_->begins_sequence(item)) return;  // nothing is before it
        worker_type w = all.at(thread, item);
        find_own_gradient(w, r, item);
      });
    if (is_piece && !reads_states) pass_states(all, run);
    settle();
    chains<A>{*call_, side::after, size_, edge_}.for_each(
        [&](index_t first, index_t count, int thread, C* gradients) {
          for (index_t i = 0; i < count; ++i)
            pass_gradients_along(all, r, first + i * call_->split.segments, thread,
                                 gradients == nullptr ? nullptr : gradients + i * size_);
        },
        [](index_t, index_t, int) {});
    settle();
  }

 private:
  /// What runs where states are all that is wanted.
  struct states_alone {
    static constexpr bool has_results = false;
    void operator()(worker_type& w, index_t t, index_t count) const {
      w.agent.advance(t, count, w.state, w.next);
      std::swap(w.state, w.next);
    }
    void end(worker_type&, index_t) const {}
  };

  using group = group_of_items;

  void begin() const {
    for (index_t item = 0; item < call_->split.items(); ++item)
      std::construct_at(ready_ + item, call_->segment_of(item) == 0 ? 1 : 0);
  }
  void pass(index_t next) const {
    ready_[next].store(1, std::memory_order_release);
    ready_[next].notify_one();
  }
  void wait_for(index_t item) const { ready_[item].wait(0, std::memory_order_acquire); }
  void settle() const {
    if (const neighbours* const beside = call_->p.beside) beside->settle(beside->context);
  }

  index_t chunk() const {  // what the agent has room for
    return Backward ? call_->how.backward_chunk : call_->how.forward_chunk;
  }
  C* kept_of(index_t slot) const {
    return kept_ == nullptr ? nullptr : kept_ + slot * kept_states::count * size_;
  }
  C* summary_of(index_t item) const { return summaries_ + item * summary_size_; }

  // Leaves the state that comes in in w.state, and carries it on to the next segment. False where
  // that has to come from the tokens: there Inf or NaN comes out, and resets are exact only there.
  template <class Run>
  bool hand_on(worker_type& w, index_t item, const Run& run, C* kept, bool& early) const {
    C *const state = states_ + item * size_, *const summary = summary_of(item);
    const bool first = call_->segment_of(item) == 0, last = call_->ends_sequence(item);
    if (!first && !last) early = summarise(w, run, summary, kept);
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
  // A segment's gates, and in w.state what it makes of no state. Returns whether its results were
  // written.
  template <class Run>
  bool summarise(worker_type& w, const Run& run, C* summary, C* kept) const {
    run_from_zero<A, Run> zero{&run, summary, kept};
    zero.begin(w, chunk());
    w.for_each_chunk(chunk(), [&](index_t t, index_t count) { zero.take(w, t, count); });
    zero.end(w);
    return zero.early;
  }

  // What waits for no neighbour: segments on their own.
  template <class Run>
  void begin_piece(const workers<A, Backward>& all, const Run& run) const {
    for_each_group([&](group items) {
      go_through_time<run_from_zero<A, Run>>(
          *call_, all, items, chunk(),
          [&](worker_type&, index_t item) {
            return run_from_zero<A, Run>{&run, summary_of(item), kept_of(item),
                                         !call_->ends_sequence(item)};
          },
          [&](worker_type& w, index_t item, auto& zero) {
            zero.end(w);
            early_[item] = zero.early;
            copy_numbers(locals_ + item * size_, static_cast<const C*>(w.state), size_);
          });
    });
  }
  // States from a neighbour, through all segments and on to the other one, as many as go in a
  // message; then these segments' results, while others are on their way.
  template <class Run>
  void pass_states(const workers<A, Backward>& all, const Run& run) const {
    const index_t together = (call_->heads_together + 1) / 2;
    chains<A>{*call_, side::before, size_, edge_, together}.for_each(
        [&](index_t first, index_t count, int thread, C* states) {
          pass_states_along(all, run, {first, count, thread}, states);
        },
        [&](index_t first, index_t count, int thread) {
          if (!Run::has_results) return;
          for_each_group_of({first, count, thread}, [&](group items) {
            if (!call_->begins_sequence(items.first)) run_exactly(all, run, items);
          });
        });
  }
  template <class Run>
  void run_exactly(const workers<A, Backward>& all, const Run& run, group items) const {
    go_through_time<run_from_exact<A, Run>>(
        *call_, all, items, chunk(),
        [&](worker_type& w, index_t item) {
          copy_numbers(w.state, state(item), size_);
          const bool begins = call_->begins_sequence(item);
          return run_from_exact<A, Run>{&run, kept_of(item), !begins && early_[item]};
        },
        [&](worker_type& w, index_t item, auto& exact) {
          if (exact.met)
            copy_numbers(w.state, static_cast<const C*>(locals_ + item * size_), size_);
          run.end(w, item);
          if (call_->begins_sequence(item) && !call_->ends_sequence(item))
            hand_over(w, locals_ + item * size_);
        });
  }
  template <class Run>
  void pass_states_along(const workers<A, Backward>& all, const Run& run, group firsts,
                         C* edge) const {
    const index_t step = call_->split.segments;
    const bool begins = call_->begins_sequence(firsts.first);
    for (index_t i = 0; i < firsts.count; ++i) {
      const index_t item = firsts.first + i * step;
      if (begins)
        all.at(firsts.thread, item)
            .agent.load_state(call_->p.initial_state, states_ + item * size_);
      else
        copy_numbers(states_ + item * size_, static_cast<const C*>(edge + i * size_), size_);
      if (begins && step > 1 && wants<Run>(item)) run_exactly(all, run, {item, 1, firsts.thread});
    }
    if (begins && step == 1 && wants<Run>(firsts.first)) run_exactly(all, run, firsts);
    for (index_t i = 0; i < firsts.count; ++i)
      pass_state_along(all, firsts.first + i * step, firsts.thread,
                       edge == nullptr ? nullptr : edge + i * size_);
  }
  template <class Run>
  bool wants(index_t item) const {
    return Run::has_results || !call_->ends_sequence(item);
  }
  void pass_state_along(const workers<A, Backward>& all, index_t first, int thread, C* edge) const {
    const index_t end = first + call_->split.segments;
    for (index_t item = first; item < end && !call_->ends_sequence(item); ++item) {
      C* const after = item + 1 < end ? states_ + (item + 1) * size_ : edge;
      const C* const local = locals_ + item * size_;
      if (call_->begins_sequence(item)) {
        copy_numbers(after, local, size_);
        continue;
      }
      worker_type w = all.at(thread, item);
      if (w.agent.apply_summary(summary_of(item), local, state(item), after)) continue;
      copy_numbers(w.state, state(item), size_);
      w.advance(chunk());
      hand_over(w, after);
    }
  }

  // All that a neighbour may have a part in the state of, f(group): heads that go through time
  // together.
  template <class F>
  void for_each_group(F&& f) const {
    const index_t all = call_->chains_a_sequence(), together = call_->heads_together;
    const auto wanted = [&](index_t item) {
      return !call_->begins_sequence(item) && !(Backward && call_->ends_sequence(item));
    };
    if (together == 1)
      return parallel_for(call_->backend, call_->split.items(), [&](index_t item, int thread) {
        if (wanted(item)) f(group{item, 1, thread});
      });
    const index_t groups = ceil_divide(all, together);
    parallel_for(call_->backend, call_->split.sequences * groups, [&](index_t job, int thread) {
      const index_t at = job % groups * together, first = job / groups * all + at;
      if (wanted(first)) f(group{first, (std::min)(together, all - at), thread});
    });
  }
  // The items of some chains, given the first one.
  template <class F>
  void for_each_group_of(group chains, F&& f) const {
    const index_t step = call_->split.segments;
    if (step == 1) return f(chains);
    for (index_t i = 0; i < chains.count * step; ++i) f(group{chains.first + i, 1, chains.thread});
  }
  // f(token, count, state before them) for an item's chunks, from the last to the first
  template <class F>
  void replay(worker_type& w, index_t item, F&& f) const {
    const index_t chunk = call_->how.backward_chunk;
    copy_numbers(w.state, state(item), size_);
    w.keep_states(chunk);
    w.for_each_chunk_backwards(
        chunk, [&](index_t i, index_t t, index_t count) { f(t, count, w.kept_at(i)); });
  }
  // What a segment makes of a gradient of 0 after it; a sequence's last one, of that of its end.
  template <class Results>
  void find_own_gradient(worker_type& w, const Results& r, index_t item) const {
    fill(w.state, size_, C(0));
    if (call_->ends_sequence(item))
      w.agent.load_state(r.final_state, w.g);
    else
      fill(w.g, size_, C(0));
    if (retreat_reads_states())
      replay(w, item,
             [&](index_t t, index_t count, const C* in) { w.agent.retreat(r, t, count, in, w.g); });
    else
      w.for_each_chunk_backwards(chunk(), [&](index_t, index_t t, index_t count) {
        w.agent.retreat(r, t, count, w.state, w.g);
      });
    copy_numbers(gradients_ + item * size_, w.g, size_);
  }
  bool retreat_reads_states() const {
    if constexpr (says_what_retreat_reads<A>) return A::retreat_reads_states(call_->p);
    return true;
  }
  // edge: the gradient that comes from a neighbour, and what goes on to the other one.
  template <class Results>
  void pass_gradients_along(const workers<A, Backward>& all, const Results& r, index_t first,
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
    if constexpr (A::adjoint_scans) {
      C* const summary = summary_of(item);
      if (call_->ends_sequence(item)) {  // it went back from w.g: no gates are left to go through
        fill(w.state, size_, C(0));
        w.agent.clear_summary(summary);
        finite = w.agent.apply_summary_adjoint(summary, w.state, g, w.next);
      } else {
        finite = w.agent.apply_summary_adjoint(summary, g, w.g, w.next);
      }
    }
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
  C* kept_ = nullptr;                      // of early runs
  C *locals_ = nullptr, *edge_ = nullptr;  // of a piece: what segments make of 0; what crosses
  bool* early_ = nullptr;                  // whether their results were written
  std::atomic<int>* ready_ = nullptr;      // of the state that comes in
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
