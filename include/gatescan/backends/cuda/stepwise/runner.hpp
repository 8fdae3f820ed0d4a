#pragma once
// Recurrences with a step of their own on a device: which programs run, on which scratch.

#include "../../../core/workspace.hpp"
#include "../../../modes/schedule.hpp"
#include "programs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class stepwise_runner {
  using C = state_t<T>;
  using problem = problem_of<R, T>;
  using results = backward_results<R, T>;
  using task = stepwise::task<R, T>;
  using collector = diagonal::collector<R, T, false, 1, task::run, true>;
  using summary = decltype(stepwise::summary_of<R, C>());

 public:
  using format = T;
  stepwise_runner(const problem& p, const schedule& plan)
      : shared_{p, channels(p.n, true), {p.n, p.offsets, segment_tokens(p.n, plan)}} {}

  static preferences preferred(const sizes& n) {
    constexpr index_t threads_a_lane = 2048;
    preferences best;
    best.parts = n.sequences * n.heads * n.values / threads_a_lane;
    if (best.parts < 1) best.parts = 1;
    return best;
  }

  schedule as_it_runs() const {
    return {kernel_form::segments, shared_.cut.tokens, shared_.p.n.time, shared_.cut.per_sequence};
  }

  void lay_out_forward(arena& memory) {
    if (!shared_.cut.cuts()) return;
    const index_t slot_count = shared_.cut.slot_count();
    summaries_ = memory.take<summary>(slot_count * shared_.map.channels());
    starts_.take(memory, slot_count, R::states, shared_.map.channels());
  }
  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) {
    if constexpr (has_combine<R>) {
      if (shared_.cut.cuts()) {
        run(gpu, stepwise::summarise<R, T>{{shared_}, summaries_});
        run(gpu, stepwise::carry<R, T>{{shared_}, summaries_, starts_});
      }
    }
    run(gpu, stepwise::walk<R, T>{{shared_}, starts_, to.out, to.final_state});
  }

  /// There is no adjoint of the operator: backward walks whole sequences.
  void lay_out_backward(arena& memory, const results& r) {
    const sizes& n = shared_.p.n;
    shared_.map = channels(n, collector::over_heads(r.d));
    shared_.cut = {n, shared_.p.offsets, n.time};
    kept_.take(memory, shared_.cut.runs(n.batch, task::run), R::states, shared_.map.channels());
    collect_ = collector(r.d, n, shared_.cut, shared_.map);
    collect_.take(memory);
    initial_state_ = gradient_sink<C, C>(r.initial_state, R::state_axes, n, shared_.cut.packed, 1);
    initial_state_.take(memory);
  }
  template <class Device>
  void backward(const Device& gpu, const results& r) {
    run(gpu, stepwise::differentiate<R, T>{
                 {shared_}, r.out, r.final_state, kept_, collect_, initial_state_});
    collect_.add(gpu, shared_.p.n, shared_.cut);
    add_partial_sums(gpu, initial_state_, shared_.p.n, shared_.cut.packed);
  }

 private:
  // One thread has all the states of a channel.
  static stepwise::channel_map channels(const sizes& n, bool over_heads) {
    sizes of_channels = n;
    of_channels.keys = 1;
    // fewer threads a block where states are many: see stepwise::task::run
    return {of_channels, 1, over_heads, R::states * sizeof(C) > 512 ? warp_threads : 128};
  }
  static index_t segment_tokens(const sizes& n, const schedule& plan) {
    return has_combine<R> && plan.segments > 1 ? ceil_divide(n.time, plan.segments) : n.time;
  }

  task shared_;
  summary* summaries_ = nullptr;
  diagonal::table<C> starts_, kept_;
  collector collect_;
  gradient_sink<C, C> initial_state_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
