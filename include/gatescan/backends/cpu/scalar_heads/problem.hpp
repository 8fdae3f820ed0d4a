#pragma once
// When states of one key and one value run as channels (agent.hpp), and as which problem.

#include "agent.hpp"
#include "wide_states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Recurrences that are used in that form name themselves: kernels are compiled for it, and do not
/// know what one that inherits does differently.
template <class R>
constexpr bool can_be_single() {
  if constexpr (requires { typename R::runs_as_channels; })
    return std::is_same_v<typename R::runs_as_channels, R>;
  else
    return false;
}

/// Whether a problem runs that way. Grouped heads are no stride, and time cut into segments needs
/// an associative form.
template <class R, class T>
bool runs_as_single(const problem_of<R, T>& p, const schedule& plan) {
  if (p.n.keys != 1 || p.n.values != 1 || plan.segments > 1) return false;
  if (plan.form == kernel_form::attention) return false;
  // where numbers are double, only matrix states carry the low parts that long sums need
  if (sizeof(storage_t<T>) == sizeof(double) && plan.form != kernel_form::steps) return false;
  bool grouped = false;
  for_each_field<R>([&](const auto& x) { grouped = grouped || (x.given && x.heads_a_group != 1); },
                    p.x);
  return !grouped;
}

/// The problem with heads as values, and states in double, copies in scratch memory. Without that
/// it measures only.
template <class R, class T>
class single_problem {
 public:
  using format = std::conditional_t<std::is_same_v<state_t<T>, double>, T, wide<storage_t<T>>>;
  using lane = scalar_heads_agent<R, format, !std::is_same_v<state_t<T>, double>>;

  single_problem(const problem_of<R, T>& p, std::span<std::byte> scratch) : states_(p.n, scratch) {
    problem.n = p.n, problem.complex = p.complex, problem.offsets = p.offsets;
    std::swap(problem.n.heads, problem.n.values);
    problem.x = as_values(p.x);
    problem.initial_state = read(p.initial_state);
  }
  std::size_t bytes() const { return states_.bytes(); }

  forward_results<format> results(const forward_results<T>& r) {
    return {as_value(r.out), written(r.final_state)};
  }
  backward_results<R, format> results(const backward_results<R, T>& r) {
    return {as_value(r.out), read(r.final_state), as_values(r.d), written(r.initial_state)};
  }
  /// What came out goes where it belongs.
  void finish() const { states_.finish(written_); }

  problem_of<R, format> problem{};

 private:
  template <class S>
  static operand<S> as_value(operand<S> x) {
    x.value = x.head, x.key = 0, x.head = 0, x.heads_a_group = 1;
    return x;
  }
  template <class Fields>
  static Fields as_values(Fields x) {
    for_each_field<R>([](auto& o) { o = as_value(o); }, x);
    return x;
  }
  operand<const double> read(const operand<const state_t<T>>& state) {
    return states_.in(as_value(state), reads_++);
  }
  operand<double> written(const operand<state_t<T>>& state) {
    written_ = as_value(state);
    return states_.out(written_);
  }

  wide_states<state_t<T>> states_;
  operand<state_t<T>> written_{};
  int reads_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
