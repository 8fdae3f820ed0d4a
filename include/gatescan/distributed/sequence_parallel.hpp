#pragma once
// One sequence over the ranks of an MPI communicator, on CPUs: verbs.hpp, whose pieces run as
// backends/cpu runs a problem that has neighbours.

#include "../backends/cpu/execute.hpp"
#include "verbs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
kernels kernels_of(const cpu&, const problem_of<R, T>&) {
  return {.register_bytes = static_cast<index_t>(simd::register_bytes), .reached_by_mpi = true};
}

template <class Mode, class R, class T>
std::size_t piece_forward_bytes_of(const cpu& host, const Mode& mode, const problem_of<R, T>& p) {
  return forward_bytes_of(host, mode, p);
}
template <class Mode, class R, class T>
std::size_t piece_backward_bytes_of(const cpu& host, const Mode& mode, const problem_of<R, T>& p,
                                    const backward_results<R, T>& r) {
  return backward_bytes_of(host, mode, p, r);
}
template <class Mode, class R, class T>
void run_piece_forward_of(const cpu& host, const Mode& mode, const problem_of<R, T>& p,
                          const forward_results<T>& to, const workspace& scratch) {
  run_forward_of(host, mode, p, to, scratch);
}
template <class Mode, class R, class T>
void run_piece_backward_of(const cpu& host, const Mode& mode, const problem_of<R, T>& p,
                           const backward_results<R, T>& r, const workspace& scratch) {
  run_backward_of(host, mode, p, r, scratch);
}

/// The numbers of all that for_each(f) calls f with, one after another.
template <class C, class ForEach>
std::vector<C> read_numbers(const cpu&, ForEach&& for_each) {
  std::vector<C> all;
  for_each([&](const auto& x) {
    for (index_t i = 0; i < x.count(); ++i) all.push_back(convert<C>(x[i]));
  });
  return all;
}
template <class C, class ForEach>
void write_numbers(const cpu&, const std::vector<C>& all, ForEach&& for_each) {
  auto next = all.begin();
  for_each([&](const auto& x) {
    for (index_t i = 0; i < x.count(); ++i)
      x[i] = convert<std::remove_cvref_t<decltype(x[i])>>(*next++);
  });
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
