#pragma once
// What a recurrence's list of members becomes. `fields<V>` of a recurrence names its operands,
// states and switches once; V says what stands there: views to read (inputs), views to write
// (gradients), and for the math whatever a backend reads from or adds to.

#include "scalar.hpp"
#include "view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Stands where a list has no such member: gradients have no switches, the math no states.
struct no_member {
  constexpr no_member() = default;
  template <class T>
  constexpr explicit no_member(const T&) {}
};

/// V of `inputs<T>`: views to read.
template <class T>
struct input_views {
  using format = T;
  using real = view<const storage_t<T>>;
  using complex = complex_view<const storage_t<T>>;
  using gate = view<const gate_t<T>>;
  using complex_gate = complex_view<const gate_t<T>>;
  template <template <class> class State>
  using state = State<const state_t<T>>;
  using offsets = view<const index_t>;
  template <class S>
  using option = S;
};

/// V of `gradients<T>`: views to write.
template <class T>
struct gradient_views {
  using format = T;
  using real = view<storage_t<T>>;
  using complex = complex_view<storage_t<T>>;
  using gate = view<gate_t<T>>;
  using complex_gate = complex_view<gate_t<T>>;
  template <template <class> class State>
  using state = State<state_t<T>>;
  using offsets = no_member;
  template <class S>
  using option = no_member;
};

namespace detail {
/// V of the math: what stands for an operand, and for one that gates are made of.
template <class Operand, class Gate>
struct operand_or_gate {
  using format = void;
  using real = Operand;
  using complex = Operand;
  using gate = Gate;
  using complex_gate = Gate;
  template <template <class> class State>
  using state = no_member;
  using offsets = no_member;
  template <class S>
  using option = S;
};
// Any other V stands for all operands.
template <class V>
struct member_kinds : operand_or_gate<V, V> {};
template <class Operand, class Gate>
struct member_kinds<operand_or_gate<Operand, Gate>> : operand_or_gate<Operand, Gate> {};
template <class T>
struct member_kinds<input_views<T>> : input_views<T> {};
template <class T>
struct member_kinds<gradient_views<T>> : gradient_views<T> {};
}  // namespace detail

template <class V>
using format_of = typename detail::member_kinds<V>::format;
/// An operand of real numbers.
template <class V>
using real_field = typename detail::member_kinds<V>::real;
/// An operand of real or complex numbers.
template <class V>
using complex_field = typename detail::member_kinds<V>::complex;
/// The same of what gates are made of, which a format may store in more bits.
template <class V>
using gate_field = typename detail::member_kinds<V>::gate;
template <class V>
using complex_gate_field = typename detail::member_kinds<V>::complex_gate;
/// `initial_state`: State<T> is a view, a complex_view, or a structure of views (core/state.hpp).
template <class V, template <class> class State>
using state_field = typename detail::member_kinds<V>::template state<State>;
template <class V>
using real_state_field = state_field<V, view>;
template <class V>
using complex_state_field = state_field<V, complex_view>;
/// `sequence_offsets`.
template <class V>
using offsets_field = typename detail::member_kinds<V>::offsets;
/// A number or switch beside the operands.
template <class V, class S>
using option_field = typename detail::member_kinds<V>::template option<S>;

// ---- that a recurrence lists each of its members

namespace detail {

struct counted_member {
  constexpr counted_member() = default;
  template <class T>
  constexpr explicit counted_member(const T&) {}
};
struct counting {};
template <>
struct member_kinds<counting> {
  using format = void;
  using real = counted_member;
  using complex = counted_member;
  using gate = counted_member;
  using complex_gate = counted_member;
  template <template <class> class State>
  using state = counted_member;
  using offsets = counted_member;
  template <class S>
  using option = counted_member;
};

template <class Aggregate, class... Members>
consteval int member_count() {
  if constexpr (requires { Aggregate{Members{}..., counted_member{}}; })
    return member_count<Aggregate, Members..., counted_member>();
  else
    return static_cast<int>(sizeof...(Members));
}
template <class R>
constexpr int listed_count() {
  typename R::template fields<counting> x{};
  int count = 2;  // initial_state and sequence_offsets
  R::operands([&](auto&&...) { ++count; }, x);
  R::options([&](auto&&...) { ++count; }, x);
  return count;
}
/// `operands` and `options` can be called while compiling.
template <class R>
concept lists_members_constexpr = requires {
  typename std::bool_constant<(listed_count<R>(), true)>;
};
template <class R>
consteval bool lists_every_member() {
  return listed_count<R>() == member_count<typename R::template fields<counting>>();
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
