#pragma once
// Checks everything a verb is given, before anything is written.

#include <algorithm>
#include <string>
#include <string_view>

#include "../core/overlap.hpp"
#include "../core/problem.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline constexpr int max_results = 16;

template <class In>
using outputs_of = typename In::recurrence::template outputs<typename In::format>;
template <class In>
using output_gradients_of = typename In::recurrence::template output_gradients<typename In::format>;
template <class In>
using gradients_of = typename In::recurrence::template gradients<typename In::format>;

template <class In, class F>
void for_each_input(const In& in, F&& f) {
  using R = typename In::recurrence;
  R::operands(
      [&](const char* name, const axes& a, presence, const auto& x) {
        f(name, x,
          !a.has(
              axis::group));  // what only one lane reads may be overwritten by that lane's results
      },
      in);
  f("initial_state", in.initial_state, false);
}

template <class V>
void check_result(const char* name, const V& x, const axes& a, const sizes& n, bool complex) {
  if (!x.given()) return;
  check_layout(name, x, a, n, true);
  check_distinct(name, x);
  check_complex(name, x, complex);
}

// A device's blocks run in any order, and of a matrix state some read what others write.
template <class R, class T>
constexpr bool out_may_be_an_operand() {
  if constexpr (requires { R::gate_kind; })
    return !on_device<T> || R::gate_kind != gating::per_key;
  else
    return true;
}

template <class R, class T, class In>
forward_results<T> bind_outputs(const problem_of<R, T>& p, const In& in, const outputs_of<In>& out,
                                bool one_token = false) {
  const axes out_axes = one_token ? R::out_axes.without(axis::time) : R::out_axes;
  if (!out.out.given() && !out.final_state.given())
    fail<shape_error>("out: expected " + axes_text(out_axes) + ", got neither out nor final_state");
  check_result("out", out.out, out_axes, p.n, p.complex);
  check_result("final_state", out.final_state, R::state_axes, p.n, p.complex);
  const footprint o = footprint_of("out", out.out),
                  s = footprint_of("final_state", out.final_state);
  check_apart(o, s, false);
  for_each_input(in, [&](const char* name, const auto& x, bool own) {
    const footprint f = footprint_of(name, x);
    check_apart(o, f, own && out_may_be_an_operand<R, T>());
    check_apart(s, f, std::string_view(name) == "initial_state");  // a state advanced in place
  });
  return {bind("out", out.out, out_axes, p.n, true),
          bind("final_state", out.final_state, R::state_axes, p.n, true)};
}

template <class R, class T, class In>
backward_results<R, T> bind_gradients(const problem_of<R, T>& p, const In& in,
                                      const output_gradients_of<In>& d_out,
                                      const gradients_of<In>& d) {
  backward_results<R, T> r;
  const auto check_given = [&](const char* name, const auto& x, const axes& a) {
    if (x.given()) check_complex(name, x, p.complex);
    return bind(name, x, a, p.n, true);
  };
  r.out = check_given("gradient of out", d_out.out, R::out_axes);
  r.final_state = check_given("gradient of final_state", d_out.final_state, R::state_axes);

  footprint written[max_results];
  int count = 0;
  const auto add = [&](const char* name, const auto& x) {
    const footprint f = footprint_of(name, x);
    for (int i = 0; i < count; ++i) check_apart(f, written[i], false);
    for_each_input(in, [&](const char* other, const auto& y, bool) {
      check_apart(f, footprint_of(other, y), false);
    });
    check_apart(f, footprint_of("the gradient of out", d_out.out), false);
    check_apart(f, footprint_of("the gradient of final_state", d_out.final_state), true);
    if (count < max_results) written[count++] = f;
  };
  R::operands(
      [&](const char* name, const axes& declared, presence, const auto& operand, const auto& x,
          auto& to) {
        if (!x.given()) return;
        if (!operand.given())
          fail<shape_error>("gradient of " + std::string(name) +
                            ": asked for, but the operand is not given");
        to = bind({name, true}, x, declared, p.n, false);
        add(name, x);
      },
      in, d, r.d);
  if (d.initial_state.given()) {
    r.initial_state = bind({"initial_state", true}, d.initial_state, R::state_axes, p.n, true);
    add("initial_state", d.initial_state);
  }
  return r;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
