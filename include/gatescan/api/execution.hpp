#pragma once
// What the verbs and the plan share: the mode's schedule for a problem, and scratch memory.

#include <memory>
#include <span>
#include <string>

#include "../core/workspace.hpp"
#include "../modes/all.hpp"
#include "bind.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
index_t longest_sequence(const problem_of<R, T>& p) {
  if (p.offsets == nullptr) return p.n.time;
  index_t longest = 0;
  for (index_t s = 0; s < p.n.sequences; ++s)
    longest = (std::max)(longest, p.last_token(s) - p.first_token(s));
  return longest;
}

template <class R, class Mode>
constexpr void check_mode() {
  static_assert(
      recurrence<R>,
      "gatescan: this type is not a recurrence: it needs values and output, and either the gated "
      "product's keys / gate or step (core/concepts.hpp)");
  static_assert(Mode::template supports<R>,
                "gatescan: this recurrence does not have what the mode needs: scan needs combine, "
                "chunked and "
                "attention need the gated product (core/concepts.hpp)");
}
template <class R>
constexpr void check_differentiable() {
  static_assert(differentiable<R>,
                "gatescan: backward needs the recurrence's adjoints: keys_adjoint / gate_adjoint "
                "or step_adjoint, "
                "output_adjoint and values_adjoint (core/concepts.hpp)");
}

template <class R, class T, class Backend, class Mode>
schedule schedule_for(const Backend& backend, const Mode& mode, const problem_of<R, T>& p) {
  const index_t longest = longest_sequence(p), lanes = independent_lanes(backend, p);
  if constexpr (std::is_same_v<Mode, automatic>) {
    return automatic::choose<R>(longest, lanes, [&](const auto& chosen, const char*) {
      return chosen.plan(p.n, longest, lanes);
    });
  } else {
    return mode.plan(p.n, longest, lanes);
  }
}

// The caller's scratch if given, otherwise memory of its own.
class scratch_memory {
 public:
  scratch_memory(const workspace& given, std::size_t needed) {
    if (given.memory.data() == nullptr && given.memory.empty()) {
      own_ = std::make_unique_for_overwrite<std::byte[]>(needed);
      memory_ = {own_.get(), needed};
      return;
    }
    if (given.memory.size() < needed)
      fail<workspace_error>("workspace: expected at least " + std::to_string(needed) +
                            " bytes, got " + std::to_string(given.memory.size()));
    memory_ = given.memory;
  }
  std::span<std::byte> memory() const { return memory_; }

 private:
  std::unique_ptr<std::byte[]> own_{};
  std::span<std::byte> memory_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
