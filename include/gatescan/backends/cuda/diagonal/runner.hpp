#pragma once
// Diagonal recurrences on a device: which programs run, in which order, on which scratch.

#include "../../../core/workspace.hpp"
#include "../../../modes/schedule.hpp"
#include "attention.hpp"
#include "backward.hpp"
#include "forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool IsComplex>
class diagonal_runner {
  static constexpr int keys = has_unit_keys<R>() ? 1 : 4;  // of a thread
  using C = state_t<T>;
  using S = storage_t<T>;
  using problem = problem_of<R, T>;
  using results = backward_results<R, T>;
  using task = diagonal::task<R, T, IsComplex, keys>;
  using share = typename task::share;
  using adjoint_task = diagonal::adjoint_task<R, T, IsComplex, keys>;
  using collector = diagonal::collector<R, T, IsComplex, keys, share::run, share::unit_keys>;
  using carrier_table = diagonal::table<typename task::W>;
  using wide_table = diagonal::table<typename task::D>;
  using narrow_table = diagonal::table<typename task::E>;

 public:
  using format = T;
  diagonal_runner(const problem& p, const schedule& plan)
      : attends_(plan.form == kernel_form::attention),
        shared_{p,
                {p.n, keys, true},
                {p.n, p.offsets, segment_tokens(p.n, plan)},
                plan.form == kernel_form::steps} {}

  static preferences preferred(const sizes& n) {
    preferences best;
    best.parts = lanes(n);
    best.forward_chunk = best.backward_chunk = 64;
    return best;
  }

  schedule as_it_runs() const {
    schedule how{kernel_form::segments, shared_.cut.tokens, shared_.cut.tokens,
                 shared_.cut.per_sequence};
    if (attends_) how = {kernel_form::attention, shared_.p.n.time, shared_.p.n.time, 1};
    return how;
  }

  void lay_out_forward(arena& memory) {
    take_segments(memory);
    if (attends_ || shared_.map.tiles > 1) take_parts(memory, attends_ ? 1 : shared_.map.tiles);
  }
  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) {
    const bool attends = attends_ && to.out.given;
    if (attends) run(gpu, diagonal::attend<R, T, IsComplex, keys>{{shared_}, parts_});
    if (!attends || to.final_state.given) {
      carry_states(gpu);
      run(gpu, diagonal::run_segments<R, T, IsComplex, keys>{
                   {shared_},
                   states_,
                   attends ? operand<S>{} : to.out,
                   to.final_state,
                   attends || !to.out.given ? narrow_table{} : parts_});
    }
    if (to.out.given && parts_.rows > 0)
      run(gpu,
          diagonal::finish<R, T, IsComplex>{shared_.p, shared_.map, shared_.cut, to.out, parts_});
  }

  void lay_out_backward(arena& memory, const results& r) {
    const sizes& n = shared_.p.n;
    int threads = 128;
    do {  // fewer where they would need too much shared memory
      shared_.map = {n, keys, collector::over_heads(r.d), threads};
      collect_ = collector(r.d, n, shared_.cut, shared_.map);
      threads /= 2;
    } while (threads >= warp_threads && differentiation(r).shared_bytes() > most_shared_bytes);
    take_segments(memory);
    const index_t channels = shared_.map.channels();
    if (shared_.cut.cuts()) gradients_.take(memory, shared_.cut.slot_count(), n.keys, channels);
    kept_.take(memory, shared_.cut.runs(n.batch, share::run), n.keys, channels);
    if (!share::simple_output && shared_.map.tiles > 1) take_parts(memory, shared_.map.tiles);
    collect_.take(memory);
    initial_state_ = gradient_sink<C, C>(r.initial_state, R::state_axes, n, shared_.cut.packed, 1);
    initial_state_.take(memory);
  }
  template <class Device>
  void backward(const Device& gpu, const results& r) {
    diagonal::check_sides<R, T, IsComplex>(shared_.p, r.d);
    const adjoint_task shared = adjoint(r);
    carry_states(gpu);
    run(gpu,
        diagonal::run_segments<R, T, IsComplex, keys>{{shared_}, states_, {}, {}, parts_, kept_});
    if (shared_.cut.cuts()) {
      run(gpu, diagonal::summarise_back<R, T, IsComplex, keys>{{shared}, gradients_});
      run(gpu, diagonal::carry_back<R, T, IsComplex, keys>{
                   {shared}, products_, gradients_, r.final_state});
    }
    run(gpu, differentiation(r));
    collect_.add(gpu, shared_.p.n, shared_.cut);
    add_partial_sums(gpu, initial_state_, shared_.p.n, shared_.cut.packed);
  }

 private:
  static constexpr int most_shared_bytes = 96 * 1024;

  adjoint_task adjoint(const results& r) const { return {{shared_}, r.out, kept_, parts_}; }
  auto differentiation(const results& r) const {
    return diagonal::differentiate<R, T, IsComplex, keys>{
        {adjoint(r)}, collect_, gradients_, r.final_state, initial_state_};
  }
  // in units of which `enough_parts` fill the device
  static index_t lanes(const sizes& n) {
    constexpr index_t threads_a_lane = 2048;
    const diagonal::channel_map map(n, keys, true);
    const index_t full = n.sequences * map.channels() * map.lanes * map.tiles / threads_a_lane;
    return full > 1 ? full : 1;
  }
  // Time is cut where there are too few channels to fill the device, in multiples of the chunk,
  // long enough that summaries are little beside the operands.
  static index_t segment_tokens(const sizes& n, const schedule& plan) {
    constexpr index_t least = 64, wanted = preferences::usual_parts;
    const index_t time = n.time > 1 ? n.time : 1;
    if (plan.form == kernel_form::steps) return time;
    if (plan.segments > 1) return ceil_divide(time, plan.segments);
    const index_t tokens = ceil_divide(time, ceil_divide(wanted, lanes(n)));
    const index_t chunk = plan.form == kernel_form::chunks || plan.form == kernel_form::segments
                              ? plan.forward_chunk
                              : 1;
    return round_up(tokens > least ? tokens : least, chunk);
  }

  void take_segments(arena& memory) {
    if (!shared_.cut.cuts()) return;
    const index_t slot_count = shared_.cut.slot_count(), channels = shared_.map.channels();
    products_.take(memory, slot_count, shared_.p.n.keys, channels);
    states_.take(memory, slot_count, shared_.p.n.keys, channels);
  }
  void take_parts(arena& memory, index_t parts) {
    parts_.take(memory, shared_.p.n.batch * shared_.p.n.time, parts, shared_.map.channels());
  }
  template <class Device>
  void carry_states(const Device& gpu) const {
    if (!shared_.cut.cuts()) return;
    run(gpu, diagonal::summarise<R, T, IsComplex, keys>{{shared_}, products_, states_});
    run(gpu, diagonal::carry<R, T, IsComplex, keys>{{shared_}, products_, states_});
  }

  bool attends_;
  task shared_;
  carrier_table products_, states_;
  wide_table gradients_;
  narrow_table kept_, parts_;
  collector collect_;
  gradient_sink<C, C> initial_state_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
