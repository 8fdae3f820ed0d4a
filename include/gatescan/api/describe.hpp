#pragma once
// What a call would do, in words and numbers.

#include <string>

#include "verbs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

struct description {
  std::string recurrence, mode, reason;
  index_t chunk = 0;     // tokens worked on together in forward
  index_t segments = 1;  // pieces of time in parallel
  int threads = 1;
  std::size_t workspace_bytes = 0;  // of forward
};

/// Which mode forward runs with these inputs, why, and what it takes. `automatic` is resolved.
template <class Backend, class Mode, class In>
description describe(const Backend& backend, const Mode& mode, const In& in) {
  using R = typename In::recurrence;
  static_assert(detail::is_a_call<Backend, Mode, In>());
  const auto p = detail::bind_inputs<R>(in);
  const auto& where = for_one_call(backend, p);
  return detail::with_schedule(where, mode, p, direction::forward,
                               [&](const auto& chosen, const auto& how, const char* reason) {
                                 const schedule runs = schedule_that_runs(where, p, how);
                                 return description{R::name,
                                                    chosen.name,
                                                    reason != nullptr ? reason : chosen.reason(),
                                                    runs.forward_chunk,
                                                    runs.segments,
                                                    worker_count(where, p),
                                                    forward_bytes(where, p, how)};
                               });
}

inline std::string to_string(const description& d) {
  return d.recurrence + ": " + d.mode + " (" + d.reason + "), " + std::to_string(d.chunk) +
         " tokens at a time, " + std::to_string(d.segments) +
         (d.segments == 1 ? " segment, " : " segments, ") + std::to_string(d.threads) +
         (d.threads == 1 ? " thread, " : " threads, ") + std::to_string(d.workspace_bytes) +
         " bytes of workspace";
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
