#pragma once
// What the verbs and the plan share: the mode's schedule for a problem, and scratch memory.

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "../core/workspace.hpp"
#include "../modes/all.hpp"
#include "bind.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
index_t longest_sequence(const problem_of<R, T>& p) {
  if (on_device<T> || p.offsets == nullptr) return p.n.time;
  index_t longest = 0;
  for (index_t s = 0; s < p.n.sequences; ++s)
    longest = (std::max)(longest, p.last_token(s) - p.first_token(s));
  return longest;
}

template <class Backend, class T>
constexpr void check_memory() {
  static_assert(Backend::on_device || !on_device<T>,
                "gatescan: cpu{} reads host memory: give it inputs<float>, not "
                "inputs<device<float>>");
  static_assert(!Backend::on_device || on_device<T>,
                "gatescan: cuda{} reads device memory: give it inputs<device<float>> with views of "
                "device pointers");
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

/// f(mode, scheduled<form>, reason) with the mode that runs: `automatic` is resolved, and then
/// there is a reason.
template <class R, class T, class Backend, class Mode, class F>
auto with_schedule(const Backend& backend, const Mode& mode, const problem_of<R, T>& p, F&& f) {
  const index_t longest = longest_sequence(p);
  const preferences best = preferences_of(backend, p);
  const auto as_scheduled = [&]<class Chosen>(const Chosen& chosen, const char* reason) {
    return f(chosen, scheduled<Chosen::form>(chosen.schedule_of(p.n, longest, best)), reason);
  };
  if constexpr (std::is_same_v<Mode, automatic>)
    return automatic::choose<R>(longest, best, as_scheduled);
  else
    return as_scheduled(mode, nullptr);
}

// The caller's scratch if given, otherwise memory of its own, where the backend wants it.
template <class Backend>
class scratch_memory {
 public:
  scratch_memory(const Backend& backend, const workspace& given, std::size_t needed)
      : own_(own_scratch(backend, 0)) {
    if (given.memory.data() == nullptr && given.memory.empty()) {
      own_ = own_scratch(backend, needed);
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
  decltype(own_scratch(std::declval<const Backend&>(), 0)) own_;
  std::span<std::byte> memory_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
