#pragma once
// Walks sequences, heads and time: which run of tokens a lane works on, in which order, on which
// worker. A lane is the part of a problem whose time steps depend on each other: one head of a
// matrix state, a block of channels of a diagonal one.

#include <algorithm>
#include <span>
#include <utility>

#include "segments.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class Lane, class R, class T>
class driver : segments<Lane, R, T> {
  using base = segments<Lane, R, T>;
  using base::backend_;
  using base::gradients_;
  using base::p_;
  using base::plan_;
  using base::side_by_side_;
  using base::split_;
  using base::states_;
  using base::targets_;

  using base::forward_by_segments;
  using base::head_of;
  using base::longest_sequence;
  using base::scan_gradients;
  using base::scan_states;
  using base::seek;
  using base::segment_of;
  using base::station_at;
  using base::take_pieces;
  using base::take_segments;
  using typename base::station;

 public:
  using S = storage_t<T>;
  using typename base::C;
  using problem = problem_of<R, T>;
  using typename base::results;

  driver(const cpu& backend, const problem& p, const schedule& plan) : base(backend, p, plan) {}

  std::size_t forward_bytes() {
    arena measure;
    lay_out_forward(measure);
    return measure.bytes_needed();
  }
  std::size_t backward_bytes(const results& r) {
    arena measure;
    lay_out_backward(measure, r);
    return measure.bytes_needed();
  }

  void forward(std::span<std::byte> scratch, const forward_results<T>& to) {
    arena memory(scratch);
    lay_out_forward(memory);
    if (split_.segments > 1) return forward_by_segments(to);
    // groups of heads that go through time together
    const index_t heads = split_.items() / std::max<index_t>(split_.sequences, 1);
    const index_t groups = ceil_divide(heads, side_by_side_);
    parallel_for(backend_, split_.sequences * groups, [&](index_t job, int worker) {
      const index_t first = job / groups * heads + job % groups * side_by_side_;
      const index_t end = (std::min)(first + side_by_side_, (job / groups + 1) * heads);
      station at = station_at(worker, first, false);
      if constexpr (requires { at.lane.step_in_place(to, at.first); })
        if (side_by_side_ == 1 && at.last == at.first + 1 && at.lane.step_in_place(to, at.first))
          return;
      C* states[most_side_by_side];
      for (index_t item = first; item < end; ++item) {
        C*& state = states[item - first] = at.state + (item - first) * at.size();
        seek(at, item);
        at.lane.load_state(p_.initial_state, state);
      }
      at.for_each_run(plan_.forward_chunk, [&](index_t t, index_t count) {
        for (index_t item = first; item < end; ++item) {
          if constexpr (Lane::side_by_side) {
            seek(at, item);
            const bool last = item + 1 == end;
            at.lane.comes_next(head_of(last ? first : item + 1), last ? t + count : t);
          }
          at.lane.forward(to, t, count, states[item - first], at.next);
          std::swap(states[item - first], at.next);
        }
      });
      simd::fence();
      for (index_t item = first; item < end; ++item) {
        seek(at, item);
        at.lane.store_state(to.final_state, states[item - first]);
      }
    });
  }

  void backward(std::span<std::byte> scratch, const results& r) {
    arena memory(scratch);
    lay_out_backward(memory, r);
    if (split_.segments > 1) {
      scan_states();
      scan_gradients(r);
    }
    parallel_for(backend_, split_.slot_count, [&](index_t slot, int worker) {
      for_each_target([&](auto& target) { target.clear_partial(slot); });
      for (index_t item = split_.first_item(slot); item < split_.first_item(slot + 1); ++item) {
        station at = station_at(worker, item, true);
        backward_segment(r, at, slot, item);
      }
      simd::fence();
    });
    for_each_target([&](auto& target) { target.reduce(backend_, split_); });
  }

 private:
  // Rows of neighbouring heads lie in the same pages: heads that go through time together read
  // memory in order. As many as leave work for every thread and states in the outer cache.
  index_t heads_side_by_side() const {
    if (!Lane::side_by_side) return 1;
    if (plan_.form == kernel_form::attention || split_.segments > 1) return 1;
    if (longest_sequence() == 1) return 1;  // steps in place
    constexpr index_t state_bytes = 1280 << 10;
    arena one;
    const Lane lane(one, p_, plan_, false);
    const index_t fit =
        state_bytes / std::max<index_t>(lane.state_size() * static_cast<index_t>(sizeof(C)), 1);
    const index_t shared = split_.items() / std::max<index_t>(thread_count(backend_), 1);
    const index_t most = (std::min)(most_side_by_side, split_.heads);
    return std::clamp<index_t>((std::min)(fit, shared), 1, std::max<index_t>(most, 1));
  }

  // ---- workspace

  void lay_out_forward(arena& memory) {
    split_.slot_count = 0;
    side_by_side_ = heads_side_by_side();
    take_segments(memory);
    take_pieces(memory, false);
  }
  void lay_out_backward(arena& memory, const results& r) {
    // Enough slots to share the work out, few enough that partial sums stay small beside the
    // operands.
    constexpr index_t most_slots = 16;
    if (!Lane::adjoint_scans) split_.segments = 1;
    split_.slot_count = split_.items();
    bool shared = false;
    constexpr bool once = requires { requires std::is_same_v<typename R::adds_once, R>; };
    for_each_field<R>(
        [&](const auto& x, const auto& d, auto& target) {
          target =
              gradient_target<C, S>(d, p_.n, split_, false, Lane::adds_lanes(d), once && x.given);
          shared = shared || !target.exclusive;
        },
        p_.x, r.d, targets_);
    state_target_ = gradient_target<C, C>(r.initial_state, p_.n, split_, true, false);
    if (shared || !state_target_.exclusive)
      split_.slot_count = (std::min)(split_.slot_count, most_slots);
    for_each_target([&](auto& target) { target.take_partial(memory, split_); });
    take_segments(memory);
    take_pieces(memory, true);
  }
  template <class F>
  void for_each_target(F&& f) {
    for_each_field<R>([&](auto& target) { f(target); }, targets_);
    f(state_target_);
  }

  // ---- backward

  // What a lane does round adding the gradients of a few tokens.
  struct gradient_sink {
    driver& d;
    station& at;
    index_t slot;
    void open(index_t t, index_t count) const {
      for_each_field<R>(
          [&](const auto& target, auto& tile) {
            target.open(tile, at.lane.batch(), t, count, at.lane.head(), at.lane.first_value(),
                        at.lane.value_count());
          },
          d.targets_, at.tiles);
    }
    void close(index_t t, index_t count) const { d.flush(at, slot, true, t, count); }
  };
  void flush(station& at, index_t slot, bool in_time, index_t t, index_t count) {
    for_each_field<R>(
        [&](const auto& target, auto& tile) {
          if (!target.to.given || target.in_time() != in_time) return;
          target.flush(tile, slot, split_, at.lane.batch(), t, count, at.lane.head(),
                       at.lane.first_value(), at.lane.value_count());
          target.clear_tile(tile, at.lane.key_pitch(), at.lane.value_pitch());
        },
        targets_, at.tiles);
  }

  void backward_segment(const results& r, station& at, index_t slot, index_t item) {
    const index_t size = at.size();
    if (split_.segments > 1) {
      copy_numbers(at.state, states_ + item * size, size);
      copy_numbers(at.g, gradients_ + item * size, size);
    } else {
      at.lane.load_state(p_.initial_state, at.state);
      at.lane.load_state(r.final_state, at.g);
    }
    for_each_field<R>(
        [&](const auto& target, auto& tile) {
          target.clear_tile(tile, at.lane.key_pitch(), at.lane.value_pitch());
        },
        targets_, at.tiles);
    at.keep_states(plan_.backward_chunk);
    at.for_each_run_backwards(plan_.backward_chunk, [&](index_t i, index_t t, index_t count) {
      if constexpr (requires { at.lane.comes_before(at.kept); })
        at.lane.comes_before(i > 0 ? at.kept + (i - 1) * size : nullptr);
      at.lane.backward(r, at.tiles, t, count, at.kept + i * size, at.g,
                       gradient_sink{*this, at, slot});
    });
    flush(at, slot, false, 0, 1);
    if (segment_of(item) == 0 && state_target_.to.given) {
      const auto tile = at.lane.state_tile(at.g);
      state_target_.add_up(tile, p_.n.keys, at.lane.value_count());
      state_target_.flush(tile, slot, split_, at.lane.sequence(), 0, 1, at.lane.head(),
                          at.lane.first_value(), at.lane.value_count());
    }
  }

  static constexpr index_t most_side_by_side = 16;
  gradient_target<C, C> state_target_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
