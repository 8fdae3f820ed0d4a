#pragma once
// What a call would do, in words and numbers.

#include <string>

#include "verbs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

struct description {
  std::string recurrence, mode, reason;
  index_t run = 0;       // tokens worked on together in forward (the chunk)
  index_t segments = 1;  // pieces of time in parallel
  int threads = 1;
  std::size_t workspace_bytes = 0;  // of forward
};

/// Which mode a call with these inputs runs, why, and what it takes. `automatic` is resolved.
template <class Backend, class Mode, class In>
description describe(const Backend& backend, const Mode& mode, const In& in) {
  using R = typename In::recurrence;
  detail::check_mode<R, Mode>();
  const auto p = detail::bind_inputs<R>(in);
  const index_t longest = detail::longest_sequence(p);
  const preferences best = preferences_of(backend, p);
  const auto describe_mode = [&](const auto& chosen, const std::string& reason) {
    const schedule plan = chosen.schedule_of(p.n, longest, best);
    return description{R::name,
                       chosen.name,
                       reason,
                       plan.forward_chunk,
                       plan.segments,
                       worker_count(backend, p),
                       forward_bytes(backend, p, plan)};
  };
  if constexpr (std::is_same_v<Mode, automatic>)
    return automatic::choose<R>(longest, best, describe_mode);
  else
    return describe_mode(mode, mode.reason());
}

inline std::string to_string(const description& d) {
  return d.recurrence + ": " + d.mode + " (" + d.reason + "), runs of " + std::to_string(d.run) +
         " tokens, " + std::to_string(d.segments) +
         (d.segments == 1 ? " segment, " : " segments, ") + std::to_string(d.threads) +
         (d.threads == 1 ? " thread, " : " threads, ") + std::to_string(d.workspace_bytes) +
         " bytes of workspace";
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
