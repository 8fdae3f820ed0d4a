#pragma once
// A segment's results before the state that comes in is known: it runs from a state of 0, which its
// summary needs anyway, and writes results as if that were right. Gates forget. From the chunk on
// at whose start the state from 0 and the exact one have the same bits, so have all results: only
// the tokens before it run again. Gates that do not forget soon are found out early, and nothing
// but the summary is made from there on. Results are those of the exact state, bit for bit.

#include <cstddef>

#include "worker.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// forgets(summary, bound): whether its gates leave less than `bound` of a state.
/// same_state(x, y): whether they have the same bits.
template <class A>
concept forgetting_agent = scanning_agent<A> &&
    requires(const A agent, const typename A::C* x, typename A::C bound) {
  { agent.forgets(x, bound) } -> std::same_as<bool>;
  { agent.same_state(x, x) } -> std::same_as<bool>;
};

/// The chunks of a segment after which states from 0 are kept, to be compared with exact ones.
struct kept_states {
  static constexpr int count = 5;
  static constexpr index_t chunks(index_t of, int place) { return of >> (count + 1 - place); }

  /// After 1/16 of its chunks a segment has to have forgotten all but 1/64: then states differ by
  /// 2^-24 after another 3/16, and soon not at all.
  static constexpr index_t trial(index_t of) { return chunks(of, 2); }
  static constexpr double forgotten = 1.0 / 64;

  template <class Worker>
  static index_t chunks_of(const Worker& w, index_t tokens) {
    return (w.last - w.first + tokens - 1) / tokens;
  }
  /// f(place) if states are kept after `done` of a segment's chunks.
  template <class F>
  static void at(index_t done, index_t of, F&& f) {
    for (int i = 0; i < count; ++i)
      if (done == chunks(of, i)) f(i);
  }
};

template <class A, class Run>
inline constexpr bool runs_early = Run::has_results&& forgetting_agent<A>;

/// A segment from 0: its summary, and results if they may be right.
template <class A, class Run>
struct run_from_zero {
  using C = typename A::C;
  const Run* run = nullptr;
  C *summary = nullptr, *kept = nullptr;
  bool to_the_end = true;  // whether summary and state are wanted without results
  bool early = false;      // whether results were written
  index_t of = 0, done = 0;

  template <class Worker>
  void begin(Worker& w, index_t tokens) {
    of = kept_states::chunks_of(w, tokens);
    early = runs_early<A, Run> && kept_states::trial(of) > 0;
    w.agent.clear_summary(summary);
    w.agent.load_state(state_operands<const C>{}, w.state);
  }
  template <class Worker>
  void take(Worker& w, index_t t, index_t count) {
    ++done;
    if (!early && !to_the_end) return;
    if constexpr (runs_early<A, Run>)
      if (early) return take_early(w, t, count);
    w.agent.advance(t, count, w.state, w.next);
    w.agent.extend_summary(summary, count);
    std::swap(w.state, w.next);
  }
  template <class Worker>
  void end(Worker& w) {
    if constexpr (states_in_frame<A>)
      if (early && to_the_end) w.agent.leave_frame(w.state);
    if constexpr (runs_early<A, Run>) {
      if (early) simd::fence();  // another thread may write these results again
      early = early && run->writes_early();
    }
  }

 private:
  template <class Worker>
  void take_early(Worker& w, index_t t, index_t count) {
    run->early(w, t, count);
    const index_t trial = kept_states::trial(of);
    if (done <= trial || to_the_end) w.agent.extend_summary(summary, count);
    kept_states::at(done, of, [&](int i) {
      copy_numbers(kept + i * w.size(), static_cast<const C*>(w.state), w.size());
    });
    if (done != trial || w.agent.forgets(summary, C(kept_states::forgotten))) return;
    early = false;
    if constexpr (states_in_frame<A>) w.agent.leave_frame(w.state);
  }
};

/// A segment from its exact state: results, up to where those from 0 are right.
template <class A, class Run>
struct run_from_exact {
  using C = typename A::C;
  const Run* run = nullptr;
  const C* kept = nullptr;
  bool early = false;  // whether there are results from 0
  bool met = false;    // with the states from 0
  index_t of = 0, done = 0;

  template <class Worker>
  void begin(Worker& w, index_t tokens) {
    of = kept_states::chunks_of(w, tokens);
  }
  template <class Worker>
  void take(Worker& w, index_t t, index_t count) {
    if (met) return;
    ++done;
    (*run)(w, t, count);
    if constexpr (runs_early<A, Run>)
      if (early)
        kept_states::at(done, of,
                        [&](int i) { met = w.agent.same_state(w.state, kept + i * w.size()); });
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
