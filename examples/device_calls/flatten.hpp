// Between the library's aggregates of views and plain calls.
#pragma once

#include <cstddef>
#include <gatescan/core/concepts.hpp>
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

template <class Inputs>
void flatten_inputs(const Inputs& in, call& to) {
  using R = typename Inputs::recurrence;
  to.operands.clear();
  R::operands([&](const char*, const gatescan::axes&, gatescan::presence,
                  const auto& x) { to.operands.push_back(plain(x)); },
              in);
  to.initial_state = plain(in.initial_state);
  to.sequence_offsets = plain(in.sequence_offsets);
  if constexpr (requires { in.scale; }) to.scale = in.scale;
  if constexpr (requires { in.softplus; }) to.softplus = in.softplus;
}

template <class Inputs>
Inputs inputs_of(const call& from) {
  using R = typename Inputs::recurrence;
  Inputs in;
  std::size_t i = 0;
  R::operands([&](const char*, const gatescan::axes&, gatescan::presence,
                  auto& x) { unplain(from.operands.at(i++), x); },
              in);
  unplain(from.initial_state, in.initial_state);
  unplain(from.sequence_offsets, in.sequence_offsets);
  if constexpr (requires { in.scale; }) in.scale = from.scale;
  if constexpr (requires { in.softplus; }) in.softplus = from.softplus;
  return in;
}

/// Outputs, or their gradients.
template <class Results>
void flatten_results(const Results& x, call& to) {
  to.out = plain(x.out);
  to.final_state = plain(x.final_state);
}
template <class Results>
Results results_of(const call& from) {
  Results x;
  unplain(from.out, x.out);
  unplain(from.final_state, x.final_state);
  return x;
}

template <class R, class Gradients>
void flatten_gradients(const Gradients& d, call& to) {
  to.gradients.clear();
  R::operands([&](const char*, const gatescan::axes&, gatescan::presence,
                  const auto& x) { to.gradients.push_back(plain(x)); },
              d);
  to.d_initial_state = plain(d.initial_state);
}
template <class R, class Gradients>
Gradients gradients_of(const call& from) {
  Gradients d;
  std::size_t i = 0;
  R::operands([&](const char*, const gatescan::axes&, gatescan::presence,
                  auto& x) { unplain(from.gradients.at(i++), x); },
              d);
  unplain(from.d_initial_state, d.initial_state);
  return d;
}

/// The size of a problem with these operands and results (both of them given).
template <class Inputs, class Results>
plain_sizes sizes_of(const Inputs& in, const Results& results) {
  using R = typename Inputs::recurrence;
  using enum gatescan::axis;
  plain_sizes n;
  const auto measure = [&n](const gatescan::axes& a, const auto& x) {
    if (x.rank != a.rank) return;
    for (int i = 0; i < a.rank; ++i) {
      const auto here = a.of[i];
      if (here == batch) n.batch = x.shape[i];
      if (here == time) n.time = x.shape[i];
      if (here == head) n.heads = x.shape[i];
      if (here == key) n.keys = x.shape[i];
      if (here == value) n.values = n.channels = x.shape[i];
      if (here == channel) n.channels = x.shape[i];
    }
  };
  measure(R::out_axes, results.out);
  measure(R::state_axes, results.final_state);
  R::operands(
      [&](const char*, const gatescan::axes& a, gatescan::presence, const auto& x) {
        for (int i = 0; i < a.rank && x.rank == a.rank; ++i)
          if (a.of[i] == group) n.groups = x.shape[i];
      },
      in);
  if (in.sequence_offsets.given()) n.sequences = in.sequence_offsets.shape[0] - 1;
  if constexpr (requires { results.out.im; }) n.complex = results.out.im != nullptr;
  return n;
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
