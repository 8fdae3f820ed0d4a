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

template <class Lane, class R, class T>
class segments : protected stations<Lane, R, T> {
  using base = stations<Lane, R, T>;

 protected:
  using base::backend_;
  using base::p_;
  using base::plan_;
  using base::segment_of;
  using base::split_;
  using base::station_at;
  using typename base::C;
  using typename base::station;
  using results = backward_results<R, T>;

  using base::base;  // its constructor

  void take_segments(arena& memory) {
    if (split_.segments == 1) return;
    arena one;
    const Lane lane(one, p_, plan_, false);
    products_ = memory.take<C>(split_.items() * lane.summary_size());
    states_ = memory.take<C>(split_.items() * lane.state_size());
    ready_ = memory.take<std::atomic<int>>(split_.items());
    if (split_.slot_count > 0) gradients_ = memory.take<C>(split_.items() * lane.state_size());
  }

  void forward_by_segments(const forward_results<T>& to) {
    begin_segments();
    parallel_for(backend_, split_.items(), [&](index_t item, int worker) {
      station at = station_at(worker, item, false);
      const bool carried = carry_on(at, item);
      at.for_each_run(plan_.forward_chunk, [&](index_t t, index_t count) {
        at.lane.forward(to, t, count, at.state, at.next);
        std::swap(at.state, at.next);
      });
      simd::fence();
      if (!carried) carry_exactly(at, item);
      if (ends_chain(item)) at.lane.store_state(to.final_state, at.state);
    });
  }
  /// states_, for backward.
  void scan_states() {
    begin_segments();
    parallel_for(backend_, split_.items(), [&](index_t item, int worker) {
      station at = station_at(worker, item, true);
      if (carry_on(at, item)) return;
      at.for_each_run(summary_run(), [&](index_t t, index_t count) {
        at.lane.advance(t, count, at.state, at.next);
        std::swap(at.state, at.next);
      });
      carry_exactly(at, item);
    });
  }
  /// gradients_, after scan_states.
  void scan_gradients(const results& r) {
    const auto retreat = [&](station& at, index_t item, bool exact) {
      copy_numbers(at.state, states_ + item * at.size(), at.size());
      at.keep_states(plan_.backward_chunk);
      at.for_each_run_backwards(plan_.backward_chunk, [&](index_t i, index_t t, index_t count) {
        const C* in = at.kept + i * at.size();
        if (exact)
          at.lane.backward(r, {}, t, count, in, at.g, no_sink{});
        else
          at.lane.retreat(r, t, count, in, at.g);
      });
    };
    parallel_for(backend_, split_.items(), [&](index_t item, int worker) {
      station at = station_at(worker, item, true);
      fill(at.g, at.size(), C(0));
      retreat(at, item, false);
      copy_numbers(gradients_ + item * at.size(), at.g, at.size());
    });
    parallel_for(backend_, split_.items() / split_.segments, [&](index_t chain, int worker) {
      station at = station_at(worker, chain * split_.segments, true);
      at.lane.load_state(r.final_state, at.g);
      for (index_t item = (chain + 1) * split_.segments - 1; item >= chain * split_.segments;
           --item) {
        C *g = gradients_ + item * at.size(), *product = products_ + item * at.lane.summary_size();
        if (segment_of(item) == 0) {
          copy_numbers(g, at.g, at.size());
          break;
        }
        const bool fine = at.lane.apply_summary_adjoint(product, g, at.g, at.next);
        copy_numbers(g, at.g, at.size());
        if (fine) {
          copy_numbers(at.g, at.next, at.size());
        } else {
          station walk = station_at(worker, item, true);
          copy_numbers(walk.g, g, at.size());
          retreat(walk, item, true);
          copy_numbers(at.g, walk.g, at.size());  // walk has at's memory, but maybe swapped
        }
      }
    });
  }

  // the state at the start of every segment, once ready_, and its gradient at the end
  C *states_ = nullptr, *gradients_ = nullptr;

 private:
  struct no_sink {
    void open(index_t, index_t) const {}
    void close(index_t, index_t) const {}
  };

  void begin_segments() {
    for (index_t item = 0; item < split_.items(); ++item)
      std::construct_at(ready_ + item, segment_of(item) == 0 ? 1 : 0);
  }
  void pass_on(index_t next) {
    ready_[next].store(1, std::memory_order_release);
    ready_[next].notify_one();
  }
  void wait_for(index_t item) { ready_[item].wait(0, std::memory_order_acquire); }
  bool ends_chain(index_t item) const { return segment_of(item) == split_.segments - 1; }

  index_t summary_run() const {  // what the lane has room for
    return split_.slot_count > 0 ? plan_.backward_chunk : plan_.forward_chunk;
  }

  // Leaves the state that comes in in at.state, and carries it on to the next segment. False where
  // that has to come from the tokens: there Inf or NaN comes out, and resets are exact only there.
  bool carry_on(station& at, index_t item) {
    const index_t size = at.size();
    C *state = states_ + item * size, *product = products_ + item * at.lane.summary_size();
    const bool passes_on = segment_of(item) > 0 && !ends_chain(item);
    // in backward the last segment's product takes gradients through it
    if (passes_on || (segment_of(item) > 0 && split_.slot_count > 0)) {
      at.lane.clear_summary(product);
      fill(at.state, size, C(0));
      at.for_each_run(summary_run(), [&](index_t t, index_t count) {
        at.lane.advance(t, count, at.state, at.next);
        at.lane.extend_summary(product, count);
        std::swap(at.state, at.next);
      });
    }
    if (segment_of(item) == 0)
      at.lane.load_state(p_.initial_state, state);
    else
      wait_for(item);
    bool carried = ends_chain(item);
    if (passes_on) {
      carried = at.lane.apply_summary(product, at.state, state, state + size);
      if (carried) pass_on(item + 1);
    }
    copy_numbers(at.state, state, size);
    return carried;
  }
  void carry_exactly(const station& at, index_t item) {
    if constexpr (requires { at.lane.leave_frame(at.state); }) at.lane.leave_frame(at.state);
    copy_numbers(states_ + (item + 1) * at.size(), at.state, at.size());
    pass_on(item + 1);
  }

  C* products_ = nullptr;  // summaries
  std::atomic<int>* ready_ = nullptr;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
