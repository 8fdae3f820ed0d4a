#pragma once
// Recurrences with a step of their own on a device: the order of programs in each mode.
//
//   recurrent        segment_scan of whole sequences
//   scan             segment_summary, state_passing, segment_scan
//   backward         sequence_adjoint

#include "../../../core/workspace.hpp"
#include "../../../modes/schedule.hpp"
#include "programs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

template <class R, class T>
class stepwise_runner {
  using C = state_t<T>;
  using problem = problem_of<R, T>;
  using results = backward_results<R, T>;
  using shared_part = stepwise::program_base<R, T>;
  using collector = gpu::collector<R, T, false, 1, shared_part::chunk_tokens, true>;
  using summary = decltype(stepwise::summary_of<R, C>());

 public:
  using format = T;
  stepwise_runner(const problem& p, const schedule& how)
      : shared_{{p, channels(p.n, true), {p.n, p.offsets, segment_tokens(p.n, how)}}} {}

  static preferences preferred(const sizes& n) {
    preferences best = with_segments(n.time);
    best.parts = n.sequences * n.heads * n.values;
    best.enough_parts = tuned.full_threads;
    return best;
  }

  schedule as_it_runs() const {
    const time_split& split = shared_.split;
    return {kernel_form::segments, split.tokens, shared_.p.n.time, split.per_sequence};
  }

  void lay_out_forward(arena& memory) {
    if (!shared_.split.splits()) return;
    const index_t slot_count = shared_.split.slot_count();
    summaries_ = memory.take<summary>(slot_count * shared_.map.channels());
    starts_.take(memory, slot_count, R::states, shared_.map.channels());
  }
  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) {
    if constexpr (has_combine<R>) {
      if (shared_.split.splits()) {
        launch(gpu, stepwise::segment_summary<R, T>{{shared_}, summaries_});
        launch(gpu, stepwise::state_passing<R, T>{{shared_}, summaries_, starts_});
      }
    }
    launch(gpu, stepwise::segment_scan<R, T>{{shared_}, starts_, to.out, to.final_state});
  }

  /// There is no adjoint of the operator: backward walks whole sequences.
  void lay_out_backward(arena& memory, const results& r) {
    const sizes& n = shared_.p.n;
    shared_.map = channels(n, collector::over_heads(r.d));
    shared_.split = {n, shared_.p.offsets, n.time};
    kept_.take(memory, shared_.split.chunk_count(n.batch, shared_part::chunk_tokens), R::states,
               shared_.map.channels());
    collect_ = collector(r.d, n, shared_.split, shared_.map);
    collect_.take(memory);
    initial_state_ =
        gradient_sink<C, C>(r.initial_state, R::state_axes, n, shared_.split.packed, 1);
    initial_state_.take(memory);
  }
  template <class Device>
  void backward(const Device& gpu, const results& r) {
    launch(gpu, stepwise::sequence_adjoint<R, T>{
                    {shared_}, r.out, r.final_state, kept_, collect_, initial_state_});
    collect_.add(gpu, shared_.p.n, shared_.split);
    add_partial_sums(gpu, initial_state_, shared_.p.n, shared_.split.packed);
  }

 private:
  // One thread has all the states of a channel.
  static channel_map channels(const sizes& n, bool over_heads) {
    sizes of_channels = n;
    of_channels.keys = 1;
    // fewer threads a block where states are many: see stepwise::program_base::chunk_tokens
    return {of_channels, 1, over_heads,
            R::states * sizeof(C) > tuned.history_bytes ? warp_threads : tuned.block_threads};
  }
  static index_t segment_tokens(const sizes& n, const schedule& how) {
    return has_combine<R> && how.segments > 1 ? ceil_divide(n.time, how.segments) : n.time;
  }

  shared_part shared_;
  summary* summaries_ = nullptr;
  scratch_array<C> starts_, kept_;
  collector collect_;
  gradient_sink<C, C> initial_state_;
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
