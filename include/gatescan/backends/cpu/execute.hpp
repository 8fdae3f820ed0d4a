#pragma once
// The CPU backend's entry points: picks the lane type for a recurrence and hands it to the driver.

#include <span>

#include "diagonal/lane.hpp"
#include "driver.hpp"
#include "matrix/lane.hpp"
#include "stepwise/lane.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// f.operator()<Lane>() with the lane type that a problem runs on
template <class R, class T, class F>
auto with_lane(const problem_of<R, T>& p, F&& f) {
  if constexpr (!attention_form<R>) {
    return f.template operator()<stepwise_lane<R, T>>();
  } else if constexpr (R::gate_kind == gating::per_key) {
    return f.template operator()<matrix_lane<R, T>>();
  } else {
    if constexpr (R::number_kind != numbers::real)
      if (p.complex) return f.template operator()<diagonal_lane<R, T, true>>();
    if constexpr (R::number_kind != numbers::complex)
      return f.template operator()<diagonal_lane<R, T, false>>();
  }
}

template <class R, class T>
preferences preferences_of(const cpu&, const problem_of<R, T>& p) {
  return with_lane(p, [&]<class Lane>() {
    preferences best = Lane::best_chunks;
    best.lanes = p.n.sequences * p.n.heads * Lane::value_blocks(p.n);
    return best;
  });
}

template <class R, class T>
int worker_count(const cpu& backend, const problem_of<R, T>&) {
  return thread_count(backend);
}

template <class R, class T>
std::size_t forward_bytes(const cpu& backend, const problem_of<R, T>& p, const schedule& plan) {
  return with_lane(
      p, [&]<class Lane>() { return driver<Lane, R, T>(backend, p, plan).forward_bytes(); });
}
template <class R, class T>
std::size_t backward_bytes(const cpu& backend, const problem_of<R, T>& p,
                           const backward_results<R, T>& r, const schedule& plan) {
  return with_lane(
      p, [&]<class Lane>() { return driver<Lane, R, T>(backend, p, plan).backward_bytes(r); });
}
template <class R, class T>
void run_forward(const cpu& backend, const problem_of<R, T>& p, const forward_results<T>& to,
                 const schedule& plan, std::span<std::byte> scratch) {
  with_lane(p, [&]<class Lane>() { driver<Lane, R, T>(backend, p, plan).forward(scratch, to); });
}
template <class R, class T>
void run_backward(const cpu& backend, const problem_of<R, T>& p, const backward_results<R, T>& r,
                  const schedule& plan, std::span<std::byte> scratch) {
  with_lane(p, [&]<class Lane>() { driver<Lane, R, T>(backend, p, plan).backward(scratch, r); });
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
