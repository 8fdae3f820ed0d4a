#pragma once
// Walks sequences, heads and time: which run of tokens a lane works on, in which order, on which
// worker. A lane is the part of a problem whose time steps depend on each other: one head of a
// matrix state, a block of channels of a diagonal one.

#include <algorithm>
#include <atomic>
#include <memory>
#include <span>
#include <utility>

#include "../../core/problem.hpp"
#include "../../modes/schedule.hpp"
#include "gradients.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class Lane, class R, class T>
class driver {
 public:
  using C = state_t<T>;
  using S = storage_t<T>;
  using problem = problem_of<R, T>;
  using results = backward_results<R, T>;

  driver(const cpu& backend, const problem& p, const schedule& plan)
      : backend_(backend), p_(p), plan_(Lane::adapt(plan)) {
    split_.sequences = p.n.values > 0 ? p.n.sequences : 0;
    split_.heads = p.n.heads;
    split_.value_blocks = Lane::value_blocks(p.n);
    split_.segments = Lane::scans ? plan.segments : 1;
    split_.packed = p.offsets != nullptr || p.n.sequences != p.n.batch;
  }

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
    const index_t groups = (heads + side_by_side_ - 1) / side_by_side_;
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
      at.for_each_run(plan_.forward_run, [&](index_t t, index_t count) {
        for (index_t item = first; item < end; ++item) {
          if constexpr (Lane::side_by_side) {
            seek(at, item);
            const bool last = item + 1 == end;
            at.lane.comes_next(head_of(last ? first : item + 1), last ? t + count : t);
          }
          at.lane.forward_run(to, t, count, states[item - first], at.next);
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
    parallel_for(backend_, split_.slots, [&](index_t slot, int worker) {
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
  // A worker's place at one item: its lane and buffers, all in the worker's piece of the workspace.
  struct station {
    Lane lane;
    C *state, *next, *g = nullptr, *kept = nullptr;
    typename Lane::tiles_of_gradients tiles{};
    index_t first = 0, last = 0;  // the item's tokens

    station(arena& scratch, const driver& d, bool backward)
        : lane(scratch, d.p_, d.plan_, backward),
          state(scratch.take<C>(d.side_by_side_ * lane.state_size())),
          next(scratch.take<C>(lane.state_size())) {
      if (!backward) return;
      g = scratch.take<C>(lane.state_size());
      const index_t longest = d.segment_tokens(d.longest_sequence());
      kept = scratch.take<C>(std::max<index_t>(longest / d.plan_.backward_run + 1, 1) *
                             lane.state_size());
      R::operands(
          [&](const char*, const axes&, presence, const auto& target, auto& tile) {
            tile = target.take_tile(scratch, lane.key_pitch(), lane.value_pitch());
          },
          d.targets_, tiles);
    }
    index_t size() const { return lane.state_size(); }
    template <class F>
    void for_each_run(index_t run, F&& f) {
      for (index_t t = first; t < last; t += run) f(t, (std::min)(run, last - t));
    }
    template <class F>
    void for_each_run_backwards(index_t run, F&& f) {
      if (first == last) return;
      for (index_t i = (last - first - 1) / run; i >= 0; --i)
        f(i, first + i * run, (std::min)(run, last - first - i * run));
    }
  };

  station station_at(int worker, index_t item, bool backward) {
    arena piece({pieces_ + static_cast<std::size_t>(worker) * piece_bytes_, piece_bytes_});
    station at(piece, *this, backward);
    seek(at, item);
    const index_t sequence = sequence_of(item);
    const index_t begin = p_.first_token(sequence), end = p_.last_token(sequence);
    const index_t length = segment_tokens(end - begin);
    at.first = (std::min)(begin + segment_of(item) * length, end);
    at.last = (std::min)(at.first + length, end);
    return at;
  }

  void seek(station& at, index_t item) const {
    const index_t chain = item / split_.segments;
    at.lane.seek(sequence_of(item), head_of(item), chain % split_.value_blocks);
  }
  index_t sequence_of(index_t item) const {
    return item / split_.segments / (split_.heads * split_.value_blocks);
  }
  index_t head_of(index_t item) const {
    return item / split_.segments / split_.value_blocks % split_.heads;
  }
  index_t segment_of(index_t item) const { return item % split_.segments; }
  index_t segment_tokens(index_t tokens) const {
    return split_.segments == 1
               ? tokens
               : round_up((tokens + split_.segments - 1) / split_.segments, plan_.forward_run);
  }
  index_t longest_sequence() const {
    if (p_.offsets == nullptr) return p_.n.time;
    index_t longest = 0;
    for (index_t s = 0; s < p_.n.sequences; ++s)
      longest = (std::max)(longest, p_.last_token(s) - p_.first_token(s));
    return longest;
  }

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

  void take_pieces(arena& memory, bool backward) {
    arena one;
    station(one, *this, backward);
    piece_bytes_ = static_cast<std::size_t>(
        round_up(static_cast<index_t>(one.bytes_needed()), static_cast<index_t>(arena::alignment)));
    const index_t workers =
        std::max<index_t>(1, std::min<index_t>(thread_count(backend_), split_.items()));
    pieces_ = memory.take<std::byte>(workers * static_cast<index_t>(piece_bytes_));
  }
  void take_segments(arena& memory) {
    if (split_.segments == 1) return;
    arena one;
    const Lane lane(one, p_, plan_, false);
    products_ = memory.take<C>(split_.items() * lane.summary_size());
    states_ = memory.take<C>(split_.items() * lane.state_size());
    ready_ = memory.take<std::atomic<int>>(split_.items());
    if (split_.slots > 0) gradients_ = memory.take<C>(split_.items() * lane.state_size());
  }
  void lay_out_forward(arena& memory) {
    split_.slots = 0;
    side_by_side_ = heads_side_by_side();
    take_segments(memory);
    take_pieces(memory, false);
  }
  void lay_out_backward(arena& memory, const results& r) {
    // Enough slots to share the work out, few enough that partial sums stay small beside the
    // operands.
    constexpr index_t most_slots = 16;
    if (!Lane::adjoint_scans) split_.segments = 1;
    split_.slots = split_.items();
    bool shared = false;
    constexpr bool once = requires { requires std::is_same_v<typename R::adds_once, R>; };
    R::operands(
        [&](const char*, const axes&, presence, const auto& x, const auto& d, auto& target) {
          target =
              gradient_target<C, S>(d, p_.n, split_, false, Lane::adds_lanes(d), once && x.given);
          shared = shared || !target.exclusive;
        },
        p_.x, r.d, targets_);
    state_target_ = gradient_target<C, C>(r.initial_state, p_.n, split_, true, false);
    if (shared || !state_target_.exclusive) split_.slots = (std::min)(split_.slots, most_slots);
    for_each_target([&](auto& target) { target.take_partial(memory, split_); });
    take_segments(memory);
    take_pieces(memory, true);
  }
  template <class F>
  void for_each_target(F&& f) {
    R::operands([&](const char*, const axes&, presence, auto& target) { f(target); }, targets_);
    f(state_target_);
  }

  // ---- backward

  // What a lane does round adding the gradients of a few tokens.
  struct gradient_sink {
    driver& d;
    station& at;
    index_t slot;
    void open(index_t t, index_t count) const {
      R::operands(
          [&](const char*, const axes&, presence, const auto& target, auto& tile) {
            target.open(tile, at.lane.batch(), t, count, at.lane.head(), at.lane.first_value(),
                        at.lane.value_count());
          },
          d.targets_, at.tiles);
    }
    void close(index_t t, index_t count) const { d.flush(at, slot, true, t, count); }
  };
  struct no_sink {
    void open(index_t, index_t) const {}
    void close(index_t, index_t) const {}
  };
  void flush(station& at, index_t slot, bool in_time, index_t t, index_t count) {
    R::operands(
        [&](const char*, const axes&, presence, const auto& target, auto& tile) {
          if (!target.to.given || target.in_time() != in_time) return;
          target.flush(tile, slot, split_, at.lane.batch(), t, count, at.lane.head(),
                       at.lane.first_value(), at.lane.value_count());
          target.clear_tile(tile, at.lane.key_pitch(), at.lane.value_pitch());
        },
        targets_, at.tiles);
  }

  // States at the starts of the item's runs, from at.state.
  void keep_states(station& at) {
    const index_t size = at.size();
    copy_numbers(at.kept, at.state, size);
    at.for_each_run(plan_.backward_run, [&](index_t t, index_t count) {
      C* here = at.kept + (t - at.first) / plan_.backward_run * size;
      if (t + count < at.last) at.lane.advance_run(t, count, here, here + size);
    });
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
    R::operands(
        [&](const char*, const axes&, presence, const auto& target, auto& tile) {
          target.clear_tile(tile, at.lane.key_pitch(), at.lane.value_pitch());
        },
        targets_, at.tiles);
    keep_states(at);
    at.for_each_run_backwards(plan_.backward_run, [&](index_t i, index_t t, index_t count) {
      if constexpr (requires { at.lane.comes_before(at.kept); })
        at.lane.comes_before(i > 0 ? at.kept + (i - 1) * size : nullptr);
      at.lane.backward_run(r, at.tiles, t, count, at.kept + i * size, at.g,
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

  // ---- segments of time: each is reduced to a summary, which carries the state on to the next,
  // and everything else can run from exact states. Workers take segments in order and wait for the
  // state that comes in, while what they have just read is still near.

  // states_: the state at the start of every segment, once ready_.
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

  // Leaves the state that comes in in at.state, and carries it on to the next segment. False where
  // that has to come from the tokens: there Inf or NaN comes out, and resets are exact only there.
  bool carry_on(station& at, index_t item) {
    const index_t size = at.size();
    C *state = states_ + item * size, *product = products_ + item * at.lane.summary_size();
    const bool passes_on = segment_of(item) > 0 && !ends_chain(item);
    // in backward the last segment's product takes gradients through it
    if (passes_on || (segment_of(item) > 0 && split_.slots > 0)) {
      at.lane.clear_summary(product);
      fill(at.state, size, C(0));
      at.for_each_run(summary_run(), [&](index_t t, index_t count) {
        at.lane.advance_run(t, count, at.state, at.next);
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

  void forward_by_segments(const forward_results<T>& to) {
    begin_segments();
    parallel_for(backend_, split_.items(), [&](index_t item, int worker) {
      station at = station_at(worker, item, false);
      const bool carried = carry_on(at, item);
      at.for_each_run(plan_.forward_run, [&](index_t t, index_t count) {
        at.lane.forward_run(to, t, count, at.state, at.next);
        std::swap(at.state, at.next);
      });
      simd::fence();
      if (!carried) carry_exactly(at, item);
      if (ends_chain(item)) at.lane.store_state(to.final_state, at.state);
    });
  }
  void scan_states() {
    begin_segments();
    parallel_for(backend_, split_.items(), [&](index_t item, int worker) {
      station at = station_at(worker, item, true);
      if (carry_on(at, item)) return;
      at.for_each_run(summary_run(), [&](index_t t, index_t count) {
        at.lane.advance_run(t, count, at.state, at.next);
        std::swap(at.state, at.next);
      });
      carry_exactly(at, item);
    });
  }
  index_t summary_run() const {  // what the lane has room for
    return split_.slots > 0 ? plan_.backward_run : plan_.forward_run;
  }

  // gradients_ = the gradient of the state at the end of every segment. states_ and products_ are
  // known.
  void scan_gradients(const results& r) {
    const auto retreat = [&](station& at, index_t item, bool exact) {
      copy_numbers(at.state, states_ + item * at.size(), at.size());
      keep_states(at);
      at.for_each_run_backwards(plan_.backward_run, [&](index_t i, index_t t, index_t count) {
        const C* in = at.kept + i * at.size();
        if (exact)
          at.lane.backward_run(r, {}, t, count, in, at.g, no_sink{});
        else
          at.lane.retreat_run(r, t, count, in, at.g);
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

  cpu backend_;
  const problem& p_;
  schedule plan_;
  work_split split_{};
  typename Lane::targets targets_{};
  gradient_target<C, C> state_target_{};
  std::byte* pieces_ = nullptr;
  std::size_t piece_bytes_ = 0;
  static constexpr index_t most_side_by_side = 16;
  index_t side_by_side_ = 1;  // heads
  C *products_ = nullptr, *states_ = nullptr, *gradients_ = nullptr;
  std::atomic<int>* ready_ = nullptr;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
