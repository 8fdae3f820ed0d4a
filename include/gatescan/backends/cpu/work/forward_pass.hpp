#pragma once
// Forward: every agent goes through time, from chunk to chunk.

#include <algorithm>
#include <span>
#include <utility>

#include "../tuning.hpp"
#include "segments.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <agent A>
class forward_pass {
  using C = typename A::C;
  using results = forward_results<typename A::format>;
  using worker_type = worker<A, false>;
  static constexpr bool by_segments = A::form == kernel_form::segments && A::scans;

 public:
  forward_pass(const cpu& backend, const typename A::problem& p, const schedule& wanted)
      : call_(backend, p, wanted, by_segments) {
    call_.heads_together = heads_together();
  }

  std::size_t bytes() const {
    arena measure;
    if constexpr (by_segments) segments<A, false>(measure, call_);
    workers<A, false>(measure, call_);
    return measure.bytes_needed();
  }
  void run(std::span<std::byte> scratch, const results& to) const {
    arena memory(scratch);
    if constexpr (by_segments) {
      const segments<A, false> in_time(memory, call_);
      go_by_segments(in_time, workers<A, false>(memory, call_), to);
    } else {
      go(workers<A, false>(memory, call_), to);
    }
  }

 private:
  // Heads [first, last) of a sequence, by their items.
  struct head_group {
    index_t first, last;
  };

  void go(const workers<A, false>& all, const results& to) const {
    const work_split& split = call_.split;
    const index_t heads = split.heads * split.value_blocks, together = call_.heads_together;
    const index_t groups = ceil_divide(heads, together);
    parallel_for(call_.backend, split.sequences * groups, [&](index_t job, int thread) {
      const index_t sequence = job / groups * heads, first = job % groups * together;
      const head_group group{sequence + first, sequence + (std::min)(first + together, heads)};
      worker_type w = all.at(thread, group.first);
      go_through_time(w, group, to);
    });
  }
  void go_through_time(worker_type& w, const head_group& group, const results& to) const {
    C* states[static_cast<std::size_t>(tuning.most_heads_together)];
    const auto state_of = [&](index_t item) -> C*& { return states[item - group.first]; };
    for (index_t item = group.first; item < group.last; ++item) {
      state_of(item) = w.state + (item - group.first) * w.size();
      w.seek(call_, item);
      w.agent.load_state(call_.p.initial_state, state_of(item));
    }
    w.for_each_chunk(call_.how.forward_chunk, [&](index_t t, index_t count) {
      for (index_t item = group.first; item < group.last; ++item) {
        if (group.last > group.first + 1) w.seek(call_, item);
        say_what_follows(w, group, item, t, count);
        w.agent.forward(to, t, count, state_of(item), w.next);
        std::swap(state_of(item), w.next);
      }
    });
    simd::fence();
    for (index_t item = group.first; item < group.last; ++item) {
      w.seek(call_, item);
      w.agent.store_state(to.final_state, state_of(item));
    }
  }
  // The next head's chunk, or after the last head the first one's next chunk.
  void say_what_follows(worker_type& w, const head_group& group, index_t item, index_t t,
                        index_t count) const {
    if constexpr (heads_go_together<A>) {
      const bool last = item + 1 == group.last;
      w.agent.comes_next(call_.head_of(last ? group.first : item + 1), last ? t + count : t);
    }
  }

  void go_by_segments(const auto& in_time, const workers<A, false>& all, const results& to) const {
    // what is in the place of an operand is not written early
    bool in_place = false;
    for_each_field<typename A::recurrence>(
        [&](const auto& x) {
          in_place = in_place || (x.given && static_cast<const void*>(x.re) == to.out.re);
        },
        call_.p.x);
    results early = to;
    if (in_place) early.out = {};
    in_time.for_each_item(all, results_of_tokens{call_, to, early});
  }
  struct results_of_tokens {
    static constexpr bool has_results = true;
    const call<A>& c;
    const results& to;
    const results& to_early;

    void operator()(worker_type& w, index_t t, index_t count) const { take(w, t, count, to); }
    void early(worker_type& w, index_t t, index_t count) const { take(w, t, count, to_early); }
    static void take(worker_type& w, index_t t, index_t count, const results& written) {
      w.agent.forward(written, t, count, w.state, w.next);
      std::swap(w.state, w.next);
    }
    bool writes_early() const { return to_early.out.given || !to.out.given; }
    void end(worker_type& w, index_t item) const {
      simd::fence();
      if (c.ends_sequence(item)) w.agent.store_state(to.final_state, w.state);
    }
  };

  // Rows of neighbouring heads lie in the same pages: heads that go through time together read
  // memory in order. As many as leave work for every thread and states in the outer cache.
  index_t heads_together() const {
    if constexpr (!heads_go_together<A>) return 1;
    if (by_segments && (call_.p.beside == nullptr || call_.split.segments > 1)) return 1;
    if (call_.how.forward_chunk >= call_.longest_sequence()) return 1;
    arena one;
    const A agent(one, call_.p, call_.how, false);
    const index_t bytes = agent.state_size() * static_cast<index_t>(sizeof(C));
    const index_t fit = tuning.states_together_bytes / std::max<index_t>(bytes, 1);
    const index_t shared = call_.split.items() / call_.backend.threads;
    const index_t most = (std::min)(tuning.most_heads_together, call_.split.heads);
    return std::clamp<index_t>((std::min)(fit, shared), 1, std::max<index_t>(most, 1));
  }

  call<A> call_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
