// The stored operands of one problem by name, and library structures made of them.
#pragma once

#include <map>
#include <string>

#include "cases/all.hpp"
#include "stored.hpp"

namespace support {

template <class O>
using recurrence_of = typename case_of<O>::recurrence;

template <class T>
struct operand_set {  // by name; what is absent is not given
  std::map<std::string, stored<gatescan::storage_t<T>>> operands;
  std::map<std::string, stored<gatescan::gate_t<T>>> gates;  // where they are stored otherwise
  stored<gatescan::state_t<T>> state;                        // initial_state or final_state
  memory<int64> offsets;

  auto& operator[](const char* name) { return operands[name]; }
  template <class S>
  auto& of(const char* name) {
    if constexpr (std::is_same_v<S, gatescan::storage_t<T>>)
      return operands[name];
    else
      return gates[name];
  }
};

// f.operator()<S>(): S is what format T stores this operand of R in.
template <class R, class T, class F>
void with_storage(const std::string& name, F&& f) {
  using inputs = typename R::template inputs<T>;
  inputs in;
  R::operands(
      [&](const char* here, const gatescan::axes&, gatescan::presence, auto& operand) {
        using S = std::remove_const_t<typename std::remove_cvref_t<decltype(operand)>::element>;
        if (name == here) f.template operator()<S>();
      },
      in);
}

// Gives a structure of inputs or gradients what a set has under each name.
template <class R, class To, class Set>
void set_operands(To& to, Set& from) {
  R::operands(
      [&](const char* name, const gatescan::axes&, gatescan::presence, auto& operand) {
        using S = std::remove_const_t<typename std::remove_cvref_t<decltype(operand)>::element>;
        operand = from.template of<S>(name);
      },
      to);
  to.initial_state = from.state;
  if constexpr (std::is_same_v<decltype(to.sequence_offsets), gatescan::no_member>)
    leave_out_fixed_part(to.initial_state);  // of gradients
}
// Numbers and switches beside the operands, from members of the same name.
template <class R, class To, class From>
void set_options(To& to, const From& from) {
  R::options([](const char*, auto& x, const auto& y) { x = y; }, to, from);
}

// The problem that these inputs are one of, for a plan.
template <class R, class Inputs>
auto problem_of(const Inputs& in) {
  const auto bound = gatescan::detail::bind_inputs<R>(in);
  typename R::template problem<typename Inputs::format> p;
  p.batch = bound.n.batch, p.time = bound.n.time, p.sequences = bound.n.sequences;
  if constexpr (requires { p.heads; }) p.heads = bound.n.heads;
  if constexpr (requires { p.keys; }) p.keys = bound.n.keys;
  if constexpr (requires { p.states; }) p.states = bound.n.keys;
  if constexpr (requires { p.values; }) p.values = bound.n.values;
  if constexpr (requires { p.channels; })
    p.channels = (requires { p.heads; }) ? bound.n.values : bound.n.heads * bound.n.values;
  if constexpr (requires { p.groups; }) p.groups = bound.n.heads;
  if constexpr (requires { p.complex; }) p.complex = bound.complex;
  return p;
}

}  // namespace support
