#pragma once
// What the verbs and the plan share: the mode's schedule for a problem, and scratch memory.

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "../core/check_recurrence.hpp"
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

template <class B>
concept a_backend = requires {
  B::on_device;
};
template <class M>
concept a_mode = std::is_same_v<M, automatic> || requires {
  M::form;
};
/// A backend may have kernels for some forms only.
template <class B, class R>
consteval bool has_kernels_for() {
  if constexpr (requires { B::template runs<R>; })
    return B::template runs<R>;
  else
    return true;
}

/// Whether a call can be compiled; if not, one sentence says why. Callers leave their bodies out
/// then, so that nothing else is said.
template <class Backend, class Mode, class In>
consteval bool is_a_call() {
  static_assert(!a_backend<Mode>,
                "gatescan: the backend comes before the mode: forward(cpu{}, chunked{}, ...)");
  static_assert(a_backend<Backend> || a_backend<Mode>,
                "gatescan: the first argument is not a backend, such as cpu{}");
  static_assert(!a_backend<Backend> || a_mode<Mode>,
                "gatescan: the second argument is not a mode, such as chunked{}");
  if constexpr (a_backend<Backend> && a_mode<Mode>) {
    using R = typename In::recurrence;
    using T = typename In::format;
    static_assert(Backend::on_device || !on_device<T>,
                  "gatescan: cpu{} reads host memory: give it inputs<float>, not "
                  "inputs<device<float>>");
    static_assert(!Backend::on_device || on_device<T>,
                  "gatescan: cuda{} reads device memory: give it inputs<device<float>> with views "
                  "of device pointers");
    if constexpr (is_recurrence<R>()) {
      static_assert(Mode::template supports<R>,
                    "gatescan: this recurrence does not have what the mode needs: scan needs "
                    "combine or a gated product, chunked and attention a gated product");
      static_assert(
          has_kernels_for<Backend, R>(),
          "gatescan: this backend has no kernels for the recurrence's form: cuda{} runs those with "
          "complex numbers or a gate a state entry only without a corrected transition, an "
          "exclusive readout and a token stage, but for averages");
      return Backend::on_device == on_device<T> && Mode::template supports<R> &&
             has_kernels_for<Backend, R>();
    }
  }
  return false;
}
template <class Backend, class Mode, class In>
consteval bool is_a_backward_call() {
  if constexpr (is_a_call<Backend, Mode, In>())
    return is_differentiable<typename In::recurrence>();
  else
    return false;
}

/// f(mode, scheduled<form>, reason) with the mode that runs: `automatic` is resolved, and then
/// there is a reason.
template <class R, class T, class Backend, class Mode, class F>
auto with_schedule(const Backend& backend, const Mode& mode, const problem_of<R, T>& p,
                   direction way, F&& f) {
  const index_t longest = longest_sequence(p);
  const preferences best = preferences_of(backend, p);
  const auto as_scheduled = [&]<class Chosen>(const Chosen& chosen, const char* reason) {
    return f(chosen, scheduled<Chosen::form>(chosen.schedule_of(p.n, longest, best)), reason);
  };
  if constexpr (std::is_same_v<Mode, automatic>)
    return automatic::choose<R>(longest, best, way, as_scheduled);
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
                            " bytes (a plan's workspace_bytes() of these operands), got " +
                            std::to_string(given.memory.size()));
    memory_ = given.memory;
  }
  std::span<std::byte> memory() const { return memory_; }

 private:
  decltype(own_scratch(std::declval<const Backend&>(), 0)) own_;
  std::span<std::byte> memory_{};
};

/// Scratch that a call takes, whose operands and results are bound.
template <class Backend, class Mode, class R, class T>
std::size_t forward_bytes_of(const Backend& backend, const Mode& mode, const problem_of<R, T>& p) {
  return with_schedule(
      backend, mode, p, direction::forward,
      [&](const auto&, const auto& how, const auto&) { return forward_bytes(backend, p, how); });
}
template <class Backend, class Mode, class R, class T>
std::size_t backward_bytes_of(const Backend& backend, const Mode& mode, const problem_of<R, T>& p,
                              const backward_results<R, T>& r) {
  return with_schedule(backend, mode, p, direction::backward,
                       [&](const auto&, const auto& how, const auto&) {
                         return backward_bytes(backend, p, r, how);
                       });
}

/// A call whose operands and results are bound, on the backend as this call sees it.
template <class Backend, class Mode, class R, class T>
void run_forward_of(const Backend& backend, const Mode& mode, const problem_of<R, T>& p,
                    const forward_results<T>& to, const workspace& scratch) {
  with_schedule(backend, mode, p, direction::forward,
                [&](const auto&, const auto& how, const auto&) {
                  const scratch_memory memory(backend, scratch, forward_bytes(backend, p, how));
                  run_forward(backend, p, to, how, memory.memory());
                });
}
template <class Backend, class Mode, class R, class T>
void run_backward_of(const Backend& backend, const Mode& mode, const problem_of<R, T>& p,
                     const backward_results<R, T>& r, const workspace& scratch) {
  with_schedule(backend, mode, p, direction::backward,
                [&](const auto&, const auto& how, const auto&) {
                  const scratch_memory memory(backend, scratch, backward_bytes(backend, p, r, how));
                  run_backward(backend, p, r, how, memory.memory());
                });
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
