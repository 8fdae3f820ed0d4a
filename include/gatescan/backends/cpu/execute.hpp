#pragma once
// The CPU backend's entry points: picks the lane type for a recurrence and hands it to the driver.

#include <algorithm>
#include <span>

#include "diagonal/agent.hpp"
#include "matrix/lane.hpp"
#include "scalar_heads/problem.hpp"
#include "stepwise/agent.hpp"
#include "work/driver.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// f.operator()<Lane>() with the lane type that a problem runs on
template <class R, class T, class F>
auto with_lane(const problem_of<R, T>& p, F&& f) {
  if constexpr (!attention_form<R>) {
    return f.template operator()<stepwise_agent<R, T>>();
  } else if constexpr (R::gate_kind == gating::per_key) {
    return f.template operator()<matrix_lane<R, T>>();
  } else {
    if constexpr (R::number_kind != numbers::real)
      if (p.complex) return f.template operator()<diagonal_agent<R, T, true>>();
    if constexpr (R::number_kind != numbers::complex)
      return f.template operator()<diagonal_agent<R, T, false>>();
  }
}

template <class R, class T>
preferences preferences_of(const cpu&, const problem_of<R, T>& p) {
  return with_lane(p, [&]<class Lane>() {
    preferences best = Lane::best_chunks;
    best.parts = p.n.sequences * p.n.heads * Lane::value_blocks(p.n);
    return best;
  });
}

/// What becomes of a mode's schedule on this backend.
template <class R, class T>
schedule schedule_that_runs(const cpu&, const problem_of<R, T>& p, const schedule& asked) {
  return with_lane(p, [&]<class Lane>() {
    schedule runs = Lane::adapt(asked);
    if (!Lane::scans) runs.segments = 1;
    return runs;
  });
}

template <class R, class T>
int worker_count(const cpu& backend, const problem_of<R, T>&) {
  return thread_count(backend);
}

// f.operator()<Lane>(problem, results, memory) as a problem runs, with all of `scratch` or what is
// left of it. Without scratch memory f measures; a plan may not know yet which operands come, so
// that there is room for each way.
template <class R, class T, class Results, class F>
std::size_t as_it_runs(const problem_of<R, T>& p, const schedule& plan, const Results& r,
                       std::span<std::byte> scratch, F&& f) {
  const auto as_given = [&] {
    return with_lane(p, [&]<class Lane>() { return f.template operator()<Lane>(p, r, scratch); });
  };
  if constexpr (can_be_single<R>())
    if (p.n.keys == 1 && p.n.values == 1 && (scratch.empty() || runs_as_single(p, plan))) {
      using single = single_problem<R, T>;
      using lane = typename single::lane;
      single as(p, scratch);
      const auto results = as.results(r);
      if (scratch.empty())
        return (std::max)(as_given(),
                          as.bytes() + f.template operator()<lane>(as.problem, results, scratch));
      f.template operator()<lane>(as.problem, results, scratch.subspan(as.bytes()));
      as.finish();
      return 0;
    }
  return as_given();
}
// f(driver, results, memory)
template <class R, class T, class Results, class F>
std::size_t drive(const cpu& backend, const problem_of<R, T>& p, const schedule& plan,
                  const Results& r, std::span<std::byte> scratch, F&& f) {
  return as_it_runs(
      p, plan, r, scratch,
      [&]<class Lane, class Format>(const problem_of<R, Format>& problem, const auto& results,
                                    std::span<std::byte> memory) {
        driver<Lane, R, Format> walk(backend, problem, plan);
        return f(walk, results, memory);
      });
}

template <class R, class T>
std::size_t forward_bytes(const cpu& backend, const problem_of<R, T>& p, const schedule& plan) {
  return drive(backend, p, plan, forward_results<T>{}, {},
               [](auto& walk, const auto&, auto) { return walk.forward_bytes(); });
}
template <class R, class T>
std::size_t backward_bytes(const cpu& backend, const problem_of<R, T>& p,
                           const backward_results<R, T>& r, const schedule& plan) {
  return drive(backend, p, plan, r, {},
               [](auto& walk, const auto& results, auto) { return walk.backward_bytes(results); });
}
template <class R, class T>
void run_forward(const cpu& backend, const problem_of<R, T>& p, const forward_results<T>& to,
                 const schedule& plan, std::span<std::byte> scratch) {
  drive(backend, p, plan, to, scratch, [](auto& walk, const auto& results, auto memory) {
    walk.forward(memory, results);
    return std::size_t{0};
  });
}
template <class R, class T>
void run_backward(const cpu& backend, const problem_of<R, T>& p, const backward_results<R, T>& r,
                  const schedule& plan, std::span<std::byte> scratch) {
  drive(backend, p, plan, r, scratch, [](auto& walk, const auto& results, auto memory) {
    walk.backward(memory, results);
    return std::size_t{0};
  });
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
