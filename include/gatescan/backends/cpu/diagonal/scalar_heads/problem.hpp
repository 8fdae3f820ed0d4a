#pragma once
// Problems of matrix states with one key and one value, as problems of channels: heads become
// values, and states are double.

#include <span>

#include "agent.hpp"
#include "wide_states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// The lowering of such problems (lower.hpp), for recurrences that are used in that form. They
/// name themselves: kernels are compiled for it, and do not know what one that inherits does
/// differently.
template <class R, class T, kernel_form Form>
class scalar_heads {
  using wide_format = std::conditional_t<std::is_same_v<state_t<T>, double>, T, wide<T>>;

 public:
  using format = wide_format;
  using agent = scalar_heads_agent<R, format, Form, !std::is_same_v<state_t<T>, double>>;

  /// Time cut into segments needs an associative form, and where numbers are double only matrix
  /// states carry the low parts that long sums need.
  static constexpr bool exists =
      runs_as_channels<R> &&
      (Form == kernel_form::steps ||
       (Form == kernel_form::chunks && sizeof(storage_t<T>) < sizeof(double)));

  /// Whether problems of such sizes may be lowered, and whether this one is: grouped heads are no
  /// stride.
  static bool fits(const sizes& n) { return n.keys == 1 && n.values == 1; }
  static bool applies(const problem_of<R, T>& p) {
    bool grouped = false;
    for_each_field<R>(
        [&](const auto& x) { grouped = grouped || (x.given && x.heads_a_group != 1); }, p.x);
    return fits(p.n) && !grouped;
  }

  /// The lowered problem, with copies of states in scratch memory. Without that it measures only.
  scalar_heads(const problem_of<R, T>& p, std::span<std::byte> scratch) : states_(p.n, scratch) {
    problem.n = p.n, problem.complex = p.complex, problem.offsets = p.offsets;
    std::swap(problem.n.heads, problem.n.values);
    problem.x = as_values(p.x);
    problem.initial_state = {read(p.initial_state)};
  }
  std::size_t bytes() const { return states_.bytes(); }

  forward_results<format> results(const forward_results<T>& r) {
    return {as_value(r.out), {written(r.final_state)}};
  }
  backward_results<R, format> results(const backward_results<R, T>& r) {
    return {as_value(r.out), {read(r.final_state)}, as_values(r.d), {written(r.initial_state)}};
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
