// Between the library's aggregates of views and plain calls.
#pragma once

#include <cstddef>
#include <gatescan/core/concepts.hpp>
#include <gatescan/core/state.hpp>
#include <gatescan/core/view.hpp>
#include <type_traits>

#include "call.hpp"

namespace device_calls {

template <class View>
plain_view plain(const View& x) {
  using element = typename View::element;
  static_assert(plain_view::most >= gatescan::max_rank);
  plain_view to;
  to.item = static_cast<int>(sizeof(element));
  to.rank = x.rank;
  for (int i = 0; i < x.rank; ++i) to.shape[i] = x.shape[i], to.stride[i] = x.stride[i];
  // A call says by its place whether a view is read or written.
  const auto pointer = [](element* p) { return const_cast<std::remove_const_t<element>*>(p); };
  if constexpr (requires { x.re; }) {
    if (!x.planes_agree())
      throw device_error("the planes of a complex operand must have the same shape and strides");
    to.re = pointer(x.re), to.im = pointer(x.im);
  } else {
    to.re = pointer(x.data);
  }
  return to;
}

template <class View>
void unplain(const plain_view& x, View& to) {
  using element = typename View::element;
  gatescan::layout where;
  where.rank = x.rank;
  for (int i = 0; i < x.rank; ++i) where.shape[i] = x.shape[i], where.stride[i] = x.stride[i];
  if constexpr (requires { to.re; })
    to = View(static_cast<element*>(x.re), static_cast<element*>(x.im), where);
  else
    to = View(static_cast<element*>(x.re), where);
}

/// The parts of a state, in the order in which the state lists them.
template <class R, class State>
std::vector<plain_view> plain_parts(const State& x) {
  std::vector<plain_view> to;
  gatescan::detail::for_each_part<R>([&](gatescan::state_part, const char*, const gatescan::axes&,
                                         const auto& part) { to.push_back(plain(part)); },
                                     x);
  return to;
}
template <class R, class State>
void unplain_parts(const std::vector<plain_view>& x, State& to) {
  std::size_t i = 0;
  gatescan::detail::for_each_part<R>(
      [&](gatescan::state_part, const char*, const gatescan::axes&, auto& part) {
        if (i < x.size()) unplain(x[i++], part);
      },
      to);
}

template <class Inputs>
void flatten_inputs(const Inputs& in, call& to) {
  using R = typename Inputs::recurrence;
  to.operands.clear();
  R::operands([&](const char*, const gatescan::axes&, gatescan::presence,
                  const auto& x) { to.operands.push_back(plain(x)); },
              in);
  to.initial_state = plain_parts<R>(in.initial_state);
  to.sequence_offsets = plain(in.sequence_offsets);
  to.options.clear();
  R::options([&](const char*, const auto& x) { to.options.push_back(static_cast<double>(x)); }, in);
}

template <class Inputs>
Inputs inputs_of(const call& from) {
  using R = typename Inputs::recurrence;
  Inputs in;
  std::size_t i = 0;
  R::operands([&](const char*, const gatescan::axes&, gatescan::presence,
                  auto& x) { unplain(from.operands.at(i++), x); },
              in);
  unplain_parts<R>(from.initial_state, in.initial_state);
  unplain(from.sequence_offsets, in.sequence_offsets);
  i = 0;
  R::options([&]<class S>(const char*, S& x) { x = static_cast<S>(from.options.at(i++)); }, in);
  return in;
}

/// Outputs, or their gradients.
template <class R, class Results>
void flatten_results(const Results& x, call& to) {
  to.out = plain(x.out);
  to.final_state = plain_parts<R>(x.final_state);
}
template <class R, class Results>
Results results_of(const call& from) {
  Results x;
  unplain(from.out, x.out);
  unplain_parts<R>(from.final_state, x.final_state);
  return x;
}

template <class R, class Gradients>
void flatten_gradients(const Gradients& d, call& to) {
  to.gradients.clear();
  R::operands([&](const char*, const gatescan::axes&, gatescan::presence,
                  const auto& x) { to.gradients.push_back(plain(x)); },
              d);
  to.d_initial_state = plain_parts<R>(d.initial_state);
}
template <class R, class Gradients>
Gradients gradients_of(const call& from) {
  Gradients d;
  std::size_t i = 0;
  R::operands([&](const char*, const gatescan::axes&, gatescan::presence,
                  auto& x) { unplain(from.gradients.at(i++), x); },
              d);
  unplain_parts<R>(from.d_initial_state, d.initial_state);
  return d;
}

template <class Problem>
plain_sizes flatten_problem(const Problem& p) {
  plain_sizes n;
  n.batch = p.batch, n.time = p.time, n.sequences = p.sequences;
  if constexpr (requires { p.heads; }) n.heads = p.heads;
  if constexpr (requires { p.keys; }) n.keys = p.keys, n.values = p.values;
  if constexpr (requires { p.states; }) n.keys = p.states;
  if constexpr (requires { p.groups; }) n.groups = p.groups;
  if constexpr (requires { p.channels; }) n.channels = p.channels;
  if constexpr (requires { p.complex; }) n.complex = p.complex;
  return n;
}
template <class Problem>
Problem problem_of(const plain_sizes& n) {
  Problem p;
  p.batch = n.batch, p.time = n.time, p.sequences = n.sequences;
  if constexpr (requires { p.heads; }) p.heads = n.heads;
  if constexpr (requires { p.keys; }) p.keys = n.keys, p.values = n.values;
  if constexpr (requires { p.states; }) p.states = n.keys;
  if constexpr (requires { p.groups; }) p.groups = n.groups;
  if constexpr (requires { p.channels; }) p.channels = n.channels;
  if constexpr (requires { p.complex; }) p.complex = n.complex;
  return p;
}

}  // namespace device_calls
