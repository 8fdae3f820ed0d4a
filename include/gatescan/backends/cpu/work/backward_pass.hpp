#pragma once
// Backward: every agent goes through its chunks from the last to the first, from states that were
// kept at their starts, and adds gradients to tiles that are flushed into the caller's memory.

#include <algorithm>
#include <span>

#include "../tuning.hpp"
#include "segments.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <differentiable_agent A>
class backward_pass {
  using R = typename A::recurrence;
  using C = typename A::C;
  using results = backward_results<R, typename A::format>;
  using worker_type = worker<A, true>;
  static constexpr bool may_go_by_segments = A::form == kernel_form::segments && A::scans;

 public:
  backward_pass(const cpu& backend, const typename A::problem& p, const schedule& wanted,
                const results& r)
      : call_(backend, p, wanted, may_go_by_segments && A::adjoint_scans), r_(r) {
    set_targets();
  }

  std::size_t bytes() {
    arena measure;
    lay_out(measure);
    return measure.bytes_needed();
  }
  void run(std::span<std::byte> scratch) {
    arena memory(scratch);
    lay_out(memory);
    if constexpr (may_go_by_segments)
      if (goes_by_segments()) segments_.scan(workers_, r_);
    parallel_for(call_.backend, call_.split.slot_count, [&](index_t slot, int thread) {
      for_each_target([&](auto& target) { target.clear_partial(slot); });
      const index_t end = call_.split.first_item(slot + 1);
      for (index_t item = call_.split.first_item(slot); item < end;) {
        const index_t heads = (std::min)(heads_back(item), end - item);
        worker_type w = workers_.at(thread, item);
        go_back(w, slot, item, heads);
        item += heads;
      }
      simd::fence();
    });
    for_each_target([&](auto& target) { target.reduce(call_.backend, call_.split); });
  }

 private:
  void set_targets() {
    work_split& split = call_.split;
    split.slot_count = split.items();
    bool shared = false;
    constexpr bool once = adds_once<R>;
    for_each_field<R>(
        [&](const auto& x, const auto& d, auto& target) {
          target = std::remove_cvref_t<decltype(target)>(d, call_.p.n, split, false,
                                                         A::adds_lanes(d), once && x.given);
          shared = shared || !target.exclusive;
        },
        call_.p.x, r_.d, call_.targets);
    const auto of_state = [&](const operand<C>& to) {
      return gradient_target<C, C>(to, call_.p.n, split, true, false);
    };
    state_target_ = of_state(r_.initial_state);
    normaliser_target_ = of_state(r_.initial_state.normaliser);
    shared = shared || !state_target_.exclusive || !normaliser_target_.exclusive;
    if (shared) split.slot_count = (std::min)(split.slot_count, tuning.most_slots);
    set_heads_back();
    if (call_.heads_sharing > 1 || !shared)  // bits of partial sums do not depend on threads
      split.slot_count = (std::min)(split.slot_count, ceil_divide(split.items(), call_.heads_back));
  }
  // Rows of neighbouring heads lie in the same pages, so heads go back together: as many as keep
  // few enough states, shared out evenly among threads. Where they share gradients bits depend on
  // how many these are, so threads do not count.
  void set_heads_back() {
    if constexpr (heads_go_together<A>) {
      const work_split& split = call_.split;
      if (split.segments > 1 || split.items() == 0) return;
      arena one;
      const A agent(one, call_.p, call_.how, true);
      const index_t bytes = worker_type::kept_over_time(call_, agent);
      const auto fitting = [&](index_t room, index_t heads) {
        return std::clamp<index_t>(room / bytes, 1, (std::min)(tuning.most_heads_back, heads));
      };
      if constexpr (adds_up_shared_gradients<A>)
        call_.heads_sharing =
            fitting(tuning.kept_of_sharing_bytes, A::heads_that_share(call_.p, r_, 0));
      call_.heads_back = call_.heads_sharing > 1
                             ? call_.heads_sharing
                             : evenly_shared_out(fitting(tuning.kept_together_bytes, split.heads));
    }
  }
  // At most so many that the thread with most of them has as few as may be.
  index_t evenly_shared_out(index_t most) const {
    const index_t items = call_.split.items();
    const auto of_a_thread = [&](index_t heads) {
      return ceil_divide(ceil_divide(items, heads), index_t{call_.backend.threads}) * heads;
    };
    index_t best = 1;
    for (index_t heads = 2; heads <= most; ++heads)
      if (of_a_thread(heads) <= of_a_thread(best)) best = heads;
    return best;
  }
  // From an item on.
  index_t heads_back(index_t item) const {
    const index_t head = call_.head_of(item);
    if constexpr (adds_up_shared_gradients<A>)
      if (call_.heads_sharing > 1)
        return (std::min)(call_.heads_sharing, A::heads_that_share(call_.p, r_, head));
    return (std::min)(call_.heads_back, call_.split.heads - head);
  }
  void lay_out(arena& memory) {
    for_each_target([&](auto& target) { target.take_partial(memory, call_.split); });
    if constexpr (may_go_by_segments)
      if (goes_by_segments()) segments_ = segments<A, true>(memory, call_);
    workers_ = workers<A, true>(memory, call_);
  }
  template <class F>
  void for_each_target(F&& f) {
    for_each_field<R>(f, call_.targets);
    f(state_target_);
    f(normaliser_target_);
  }

  // An item, or those of neighbouring heads side by side, chunk by chunk.
  void go_back(worker_type& w, index_t slot, index_t item, index_t heads) {
    const index_t chunk = call_.how.backward_chunk;
    const bool share = call_.heads_sharing > 1;  // gradients
    C* gradients[static_cast<std::size_t>(tuning.most_heads_back)];
    C* const first_gradient = w.g;
    const auto for_each_head = [&](auto&& f) {
      for (index_t head = 0; head < heads; ++head) {
        if (heads > 1) w.seek(call_, item + head);
        f(head);
      }
    };
    for_each_head([&](index_t head) {
      w.g = gradients[head] = first_gradient + head * w.size();
      start(w, item + head);
      for_each_field<R>(
          [&](const auto& target, const auto& tile) {
            target.clear_tile(tile, w.agent.key_pitch(), w.agent.value_pitch());
          },
          call_.targets, w.tiles[head]);
      w.keep_first_state(head);
    });
    w.for_each_chunk(chunk, [&](index_t t, index_t count) {
      for_each_head([&](index_t head) {
        const bool last = head + 1 == heads;
        if constexpr (heads_go_together<A>)
          if (heads > 1)
            w.agent.comes_next(call_.head_of(item + (last ? 0 : head + 1)), last ? t + count : t);
        w.keep_state(chunk, t, count, head);
      });
    });
    w.for_each_chunk_backwards(chunk, [&](index_t i, index_t t, index_t count) {
      for_each_head([&](index_t head) {
        const bool last = head + 1 == heads;
        const index_t next = last ? 0 : head + 1, next_chunk = last ? i - 1 : i;
        if constexpr (sees_state_before<A>)
          w.agent.comes_before(next_chunk >= 0 ? w.kept_at(next_chunk, next) : nullptr);
        if constexpr (adds_up_shared_gradients<A>)
          w.agent.shares(!share || head == 0, !share || last);
        if constexpr (heads_go_together<A>)
          if (heads > 1)
            w.agent.comes_next(call_.head_of(item + next), w.first + next_chunk * chunk);
        gradients[head] =
            w.agent.backward(r_, w.tiles[head], t, count, w.kept_at(i, head), gradients[head],
                             bracket{*this, w, slot, head, !share || last});
      });
    });
    for_each_head([&](index_t head) {
      flush(w, slot, head, true, false, 0, 1);
      if (!call_.begins_sequence(item + head)) return;
      C* const g = gradients[head];
      if (state_target_.to.given)
        flush_state(w, slot, state_target_, w.agent.state_tile(g), w.agent.value_count());
      if constexpr (R::form.normaliser)
        if (normaliser_target_.to.given)
          flush_state(w, slot, normaliser_target_, w.agent.normaliser_tile(g),
                      w.agent.normaliser_values());
    });
  }
  // The state before the item, and the gradient of the state after it.
  void start(worker_type& w, index_t item) const {
    if constexpr (may_go_by_segments)
      if (goes_by_segments()) {
        copy_numbers(w.state, segments_.state(item), w.size());
        copy_numbers(w.g, segments_.gradient(item), w.size());
        return;
      }
    w.agent.load_state(call_.p.initial_state, w.state);
    w.agent.load_state(r_.final_state, w.g);
  }
  // A piece of time is one segment where gradients of states have no summary.
  bool goes_by_segments() const { return A::adjoint_scans || call_.p.beside != nullptr; }

  // Round a few tokens' gradients: tiles are made ready, then flushed, those that heads share after
  // the last of them.
  struct bracket {
    backward_pass& pass;
    worker_type& w;
    index_t slot, head;
    bool with_shared;
    void open(index_t t, index_t count) const {
      for_each_field<R>(
          [&](const auto& target, auto& tile) {
            target.open(tile, w.agent.batch(), t, count, w.agent.head(), w.agent.first_value(),
                        w.agent.value_count());
          },
          pass.call_.targets, w.tiles[head]);
    }
    void close(index_t t, index_t count) const {
      pass.flush(w, slot, head, with_shared, true, t, count);
    }
  };
  void flush(worker_type& w, index_t slot, index_t head, bool with_shared, bool in_time, index_t t,
             index_t count) const {
    for_each_field<R>(
        [&](const auto& target, const auto& tile) {
          if (!target.to.given || target.in_time() != in_time) return;
          if constexpr (adds_up_shared_gradients<A>)
            if (!with_shared && A::is_shared(call_.targets, &target)) return;
          target.flush(tile, slot, call_.split, w.agent.batch(), t, count, w.agent.head(),
                       w.agent.first_value(), w.agent.value_count());
          target.clear_tile(tile, w.agent.key_pitch(), w.agent.value_pitch());
        },
        call_.targets, w.tiles[head]);
  }
  void flush_state(worker_type& w, index_t slot, const gradient_target<C, C>& target,
                   const gradient_tile<C>& tile, index_t values) const {
    target.add_up(tile, call_.p.n.keys, values);
    target.flush(tile, slot, call_.split, w.agent.sequence(), 0, 1, w.agent.head(),
                 w.agent.first_value(), values);
  }

  struct no_segments {};
  call<A> call_;
  const results& r_;
  gradient_target<C, C> state_target_{}, normaliser_target_{};
  std::conditional_t<may_go_by_segments, segments<A, true>, no_segments> segments_{};
  workers<A, true> workers_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
