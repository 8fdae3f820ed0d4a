#pragma once
// Diagonal recurrences on a device: the order of programs in each mode.
//
//   recurrent        segment_scan of whole sequences, token by token
//   chunked, scan    segment_state, state_passing where time is split; segment_scan
//   attention        attend
//   (several tiles of keys, and attention: finish adds the parts of o. Where neighbouring tokens
//   lie together: the programs of along_time in the place of those with their names. Many
//   channels: fetched_scan of whole sequences)
//   backward         segment_state and state_passing, segment_scan for states at the starts of
//                    chunks, the adjoints of the first two where time is split, segment_adjoint
//                    (many channels: fetched_scan for these states, fetched_adjoint)

#include "../../../core/workspace.hpp"
#include "../../../modes/schedule.hpp"
#include "along_time/adjoint.hpp"
#include "along_time/forward.hpp"
#include "attention.hpp"
#include "backward.hpp"
#include "fetched_adjoint.hpp"
#include "fetched_scan.hpp"
#include "forward.hpp"
#include "shared_keys/adjoint.hpp"
#include "shared_keys/forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

namespace diagonal {
template <class R, class T, bool IsComplex, int Keys, bool InRuns>
struct adjoint_of {
  using type = segment_adjoint<R, T, IsComplex, Keys>;
};
template <class R, class T, bool IsComplex, int Keys>
struct adjoint_of<R, T, IsComplex, Keys, true> {
  using type = shared_keys::segment_adjoint<R, T, Keys>;
};
}  // namespace diagonal

template <class R, class T, bool IsComplex>
class diagonal_runner {
  static constexpr int keys = has_unit_keys<R>() ? 1 : tuned.keys_a_thread;  // of a thread
  static constexpr bool in_runs = diagonal::shared_keys::recurrence_of_runs<R>;
  using C = state_t<T>;
  using S = storage_t<T>;
  using problem = problem_of<R, T>;
  using results = backward_results<R, T>;
  using shared_part = diagonal::program_base<R, T, IsComplex, keys>;
  using channel = typename shared_part::channel;
  static constexpr bool of_channels =
      diagonal::recurrence_of_channels<R> &&
      std::is_same_v<typename channel::output_type, typename channel::E>;
  using adjoint_part = diagonal::adjoint_base<R, T, IsComplex, keys>;
  using differentiate = typename diagonal::adjoint_of<R, T, IsComplex, keys, in_runs>::type;
  using collector = typename differentiate::collector_type;
  using run_part = diagonal::shared_keys::run_program<R, T, keys>;
  using tile_part = diagonal::along_time::tile_program<R, T, IsComplex>;
  using carrier_array = scratch_array<typename shared_part::W>;
  using wide_array = scratch_array<typename shared_part::D>;
  using narrow_array = scratch_array<typename shared_part::E>;

 public:
  using format = T;
  diagonal_runner(const problem& p, const schedule& how)
      : attends_(how.form == kernel_form::attention),
        shared_{p,
                {p.n, keys, !in_runs},
                {p.n, p.offsets, segment_tokens(p.n, how)},
                how.form == kernel_form::steps} {
    if constexpr (of_channels)
      if (!attends_ && !shared_.steps) {
        along_time_ =
            p.n.time >= tuned.least_along_time && diagonal::along_time::lie_along_time<R>(p.x);
        many_channels_ = diagonal::fetchable<T> && !along_time_ && p.beside == nullptr &&
                         p.n.sequences * shared_.map.channels() >= tuned.enough_channels;
      }
  }

  static preferences preferred(const sizes& n) {
    const channel_map map(n, keys, !in_runs);
    preferences best = with_segments(n.time);
    best.parts = n.sequences * map.channels() * map.lanes * map.tiles;
    best.enough_parts = tuned.full_threads;
    best.forward_chunk = best.backward_chunk = 64;
    return best;
  }

  schedule as_it_runs() const {
    const time_split split = split_of_time();
    if (attends_) return {kernel_form::attention, shared_.p.n.time, shared_.p.n.time, 1};
    return {kernel_form::segments, split.tokens, split.tokens, split.per_sequence};
  }

  void lay_out_forward(arena& memory) {
    fetches_ = fetches<false>();
    shared_.split = split_of_time();
    if constexpr (of_channels && diagonal::fetchable<T>)
      if (fetches_) shared_.map = diagonal::fetched_scan<R, T, IsComplex>::map_of(shared_.p.n);
    take_segments(memory);
    if (attends_ || shared_.map.tiles > 1) take_parts(memory, attends_ ? 1 : shared_.map.tiles);
  }
  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) {
    const bool attends = attends_ && to.out.given;
    if (attends) launch(gpu, diagonal::attend<R, T, IsComplex, keys>{{shared_}, parts_});
    if (!attends || to.final_state.given) {
      const bool early = hands_on(gatescan::side::after);
      const operand<C> last = to.final_state, none{};
      pass_states(gpu, early ? last : none);
      if (!early || (to.out.given && !attends))
        scan(gpu, attends ? operand<S>{} : to.out, early ? none : last,
             attends || !to.out.given ? narrow_array{} : parts_, {});
    }
    if (to.out.given && parts_.rows > 0)
      launch(gpu, diagonal::finish<R, T, IsComplex>{shared_.p, shared_.map, shared_.split, to.out,
                                                    parts_});
  }

  void lay_out_backward(arena& memory, const results& r) {
    const sizes& n = shared_.p.n;
    fetches_ = fetches<true>(r.out);
    shared_.split = split_of_time();
    if (fetches_)
      lay_out_fetches_back(r);
    else
      lay_out_threads_back(r);
    take_segments(memory);
    const index_t channels = shared_.map.channels();
    if (shared_.split.splits())
      gradients_.take(memory, shared_.split.slot_count(), n.keys, channels);
    kept_.take(memory, shared_.split.chunk_count(n.batch, channel::chunk_tokens), n.keys, channels);
    if (!channel::simple_output && shared_.map.tiles > 1) take_parts(memory, shared_.map.tiles);
    collect_.take(memory);
    initial_state_ =
        gradient_sink<C, C>(r.initial_state, R::state_axes, n, shared_.split.packed, 1);
    initial_state_.take(memory);
  }
  template <class Device>
  void backward(const Device& gpu, const results& r) {
    diagonal::check_sides<R, T, IsComplex>(shared_.p, r.d);
    const adjoint_part shared = adjoint(r);
    pass_states(gpu, {});
    scan(gpu, {}, {}, parts_, kept_);
    if (shared_.split.splits()) {
      with_programs([&]<bool AlongTime>() {
        if constexpr (AlongTime)
          launch(gpu, diagonal::along_time::segment_state_adjoint<R, T, IsComplex>{
                          tiles_back<AlongTime>(r), gradients_});
        else
          launch(gpu, diagonal::segment_state_adjoint<R, T, IsComplex, keys>{{shared}, gradients_});
      });
      launch(gpu, diagonal::state_passing_adjoint<R, T, IsComplex, keys>{
                      {shared},
                      products_,
                      gradients_,
                      r.final_state,
                      hands_on(gatescan::side::before) ? initial_state_ : gradient_sink<C, C>{}});
    }
    differentiate_segments(gpu, r);
    collect_.add(gpu, shared_.p.n, shared_.split);
    add_partial_sums(gpu, initial_state_, shared_.p.n, shared_.split.packed);
  }

 private:
  adjoint_part adjoint(const results& r) const { return {{shared_}, r.out, kept_, parts_}; }
  template <bool AlongTime = false>
  auto differentiation(const results& r) const {
    if constexpr (AlongTime)
      return diagonal::along_time::segment_adjoint<R, T, IsComplex>{
          tiles_back<AlongTime>(r), collect_, gradients_, r.final_state, initial_state_};
    else if constexpr (in_runs)
      return differentiate{run_part(shared_), r.out,      kept_,         parts_,
                           collect_,          gradients_, r.final_state, initial_state_};
    else
      return differentiate{adjoint(r), collect_, gradients_, r.final_state, initial_state_};
  }
  template <bool AlongTime>
  auto tiles_back(const results& r) const {
    static_assert(AlongTime);
    return diagonal::along_time::adjoint_program<R, T, IsComplex>{tile_part(shared_), r.out, kept_};
  }
  // f.operator()<whether programs along time run>()
  template <class F>
  void with_programs(F&& f) const {
    if constexpr (of_channels)
      if (along_time_) return f.template operator()<true>();
    f.template operator()<false>();
  }
  template <class Device>
  void differentiate_segments(const Device& gpu, const results& r) const {
    if constexpr (of_channels && diagonal::fetchable<T>)
      if (fetches_)
        return launch(gpu, diagonal::fetched_adjoint<R, T, IsComplex>{
                               diagonal::fetched_program<R, T, IsComplex, true>(shared_), r.out,
                               kept_, collect_, r.final_state, initial_state_});
    with_programs([&]<bool AlongTime>() {
      auto adjoint_of_segments = differentiation<AlongTime>(r);
      if (hands_on(gatescan::side::before)) adjoint_of_segments.initial_state = {};
      launch(gpu, adjoint_of_segments);
    });
  }
  void lay_out_fetches_back(const results& r) {
    if constexpr (of_channels && diagonal::fetchable<T>) {
      shared_.map = diagonal::fetched_adjoint<R, T, IsComplex>::map_of(shared_.p.n);
      collect_ = collector(r.d, shared_.p.n, shared_.split, shared_.map);
    }
  }
  void lay_out_threads_back(const results& r) {
    const sizes& n = shared_.p.n;
    int threads = tuned.block_threads;
    do {  // fewer where they would need too much shared memory
      shared_.map = {n, keys, !in_runs && collector::over_heads(r.d), threads};
      collect_ = collector(r.d, n, shared_.split, shared_.map);
      threads /= 2;
    } while (threads >= warp_threads &&
             differentiation(r).shared_bytes() > tuned.most_shared_bytes);
  }
  // Whether one pass over memory does: where channels are many and operands can be fetched.
  template <bool Back>
  bool fetches([[maybe_unused]] const operand<const S>& d_out = {}) const {
    if constexpr (of_channels && diagonal::fetchable<T>) {
      if (!many_channels_ || !diagonal::fetched_program<R, T, IsComplex, Back>::fits) return false;
      if constexpr (diagonal::fetched_in_pairs<T>)
        return diagonal::lie_in_pairs<R>(shared_.p.x, shared_.p.n) &&
               (!d_out.given || diagonal::lies_in_pairs(d_out, shared_.p.n));
      return true;
    }
    return false;
  }
  // Time is split where there are too few channels to fill the device, in multiples of the chunk.
  static index_t segment_tokens(const sizes& n, const schedule& how) {
    const index_t time = n.time > 1 ? n.time : 1;
    if (how.form == kernel_form::steps) return time;
    if (how.segments > 1) return ceil_divide(time, how.segments);
    const preferences best = preferred(n);
    const index_t wanted = ceil_divide(best.enough_parts, std::max<index_t>(best.parts, 1));
    const index_t tokens = (std::max)(best.least_segment, ceil_divide(time, wanted));
    return how.form == kernel_form::attention ? tokens : round_up(tokens, how.forward_chunk);
  }
  // Along time a block has a channel: fewer of them fill the device, and segments are of tiles.
  // Never more segments than elsewhere, so that scratch for one is enough for the other.
  // Many channels are gone through in one pass over memory.
  time_split split_of_time() const {
    const sizes& n = shared_.p.n;
    return fetches_ ? time_split{n, shared_.p.offsets, n.time} : split_along_time();
  }
  time_split split_along_time() const {
    if (!along_time_) return shared_.split;
    const sizes& n = shared_.p.n;
    const bool enough = n.sequences * shared_.map.channels() >= tuned.full_blocks;
    const index_t tile = tile_part::tile_tokens;
    return {n, shared_.p.offsets,
            enough && shared_.p.beside == nullptr ? n.time : round_up(shared_.split.tokens, tile)};
  }

  void take_segments(arena& memory) {
    if (!shared_.split.splits()) return;
    const index_t slot_count = shared_.split.slot_count(), channels = shared_.map.channels();
    products_.take(memory, slot_count, shared_.p.n.keys, channels);
    states_.take(memory, slot_count, shared_.p.n.keys, channels);
  }
  void take_parts(arena& memory, index_t parts) {
    parts_.take(memory, shared_.p.n.batch * shared_.p.n.time, parts, shared_.map.channels());
  }
  // A state that goes beside the piece is found before the segments run.
  bool hands_on(gatescan::side to) const {
    const neighbours* beside = shared_.p.beside;
    return beside != nullptr && shared_.split.splits() &&
           (to == gatescan::side::after ? beside->after : beside->before);
  }
  // Outputs and a final state from the states at the starts of segments, or parts of o and what
  // backward keeps.
  template <class Device>
  void scan(const Device& gpu, const operand<S>& out, const operand<C>& final_state,
            const narrow_array& parts, const narrow_array& kept) const {
    if constexpr (of_channels && diagonal::fetchable<T>)
      if (fetches_)
        return launch(gpu, diagonal::fetched_scan<R, T, IsComplex>{
                               diagonal::fetched_program<R, T, IsComplex, false>(shared_), states_,
                               out, final_state, kept});
    with_programs([&]<bool AlongTime>() {
      if constexpr (AlongTime)
        launch(gpu, diagonal::along_time::segment_scan<R, T, IsComplex>{tile_part(shared_), states_,
                                                                        out, final_state, kept});
      else if constexpr (in_runs)
        launch(gpu, diagonal::shared_keys::segment_scan<R, T, keys>{
                        {run_part(shared_)}, states_, out, final_state, parts, kept});
      else
        launch(gpu, diagonal::segment_scan<R, T, IsComplex, keys>{
                        {shared_}, states_, out, final_state, parts, kept});
    });
  }
  template <class Device>
  void pass_states(const Device& gpu, const operand<C>& final_state) const {
    if (!shared_.split.splits()) return;
    with_programs([&]<bool AlongTime>() {
      if constexpr (AlongTime)
        launch(gpu, diagonal::along_time::segment_state<R, T, IsComplex>{tile_part(shared_),
                                                                         products_, states_});
      else if constexpr (in_runs)
        launch(gpu, diagonal::shared_keys::segment_state<R, T, keys>{
                        {run_part(shared_)}, products_, states_});
      else
        launch(gpu, diagonal::segment_state<R, T, IsComplex, keys>{{shared_}, products_, states_});
    });
    launch(gpu, diagonal::state_passing<R, T, IsComplex, keys>{
                    {shared_}, products_, states_, final_state});
  }

  bool attends_, along_time_ = false, many_channels_ = false, fetches_ = false;
  shared_part shared_;
  carrier_array products_, states_;
  wide_array gradients_;
  narrow_array kept_, parts_;
  collector collect_;
  gradient_sink<C, C> initial_state_;
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
