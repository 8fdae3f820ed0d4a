#pragma once
// Checks everything a verb is given, before anything is written.

#include <algorithm>
#include <string>
#include <string_view>

#include "../core/arithmetic.hpp"
#include "../core/overlap.hpp"
#include "../core/problem.hpp"
#include "bind_view.hpp"

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

// Extents as the operands have them. What does not fit is found by check_layout afterwards.
template <class R, class In>
sizes measure(const In& in, bool one_token) {
  sizes n;
  index_t channels = -1, groups = 1;
  bool head_seen = false;
  R::operands(
      [&](const char*, const axes& declared, presence, const auto& x) {
        if (!x.given()) return;
        const axes with_time = one_token ? declared.without(axis::time) : declared;
        const axes a = axes_as_given(x, with_time);
        if (x.rank != a.rank) return;
        const auto grow = [](index_t& to, index_t extent) { to = extent > to ? extent : to; };
        for (int i = 0; i < a.rank; ++i) switch (a.of[i]) {
            case axis::batch:
              grow(n.batch, x.shape[i]);
              break;
            case axis::time:
              grow(n.time, x.shape[i]);
              break;
            case axis::head:
              grow(n.heads, x.shape[i]), head_seen = true;
              break;
            case axis::group:
              grow(groups, x.shape[i]);
              break;
            case axis::key:
            case axis::key_or_one:
              grow(n.keys, x.shape[i]);
              break;
            case axis::value:
            case axis::value_or_one:
              grow(n.values, x.shape[i]);
              break;
            case axis::channel:
              grow(channels, x.shape[i]);
              break;
            case axis::sequence:
            default:
              break;
          }
      },
      in);
  if (channels >= 0 && !head_seen) {
    if (channels % groups != 0)
      fail<shape_error>("groups: expected a divisor of " + std::to_string(channels) +
                        " channels, got " + std::to_string(groups));
    n.heads = groups, n.values = channels / groups;
  }
  if constexpr (has_unit_keys<R>()) n.keys = 1;
  if constexpr (requires { R::states; }) n.keys = R::states;
  if (one_token) n.time = 1;
  n.sequences = n.batch;
  return n;
}

inline void check_offsets(const view<const index_t>& offsets, sizes& n, bool readable) {
  if (!offsets.given()) return;
  if (!offsets.well_formed || offsets.rank != 1 || offsets.shape[0] < 1 || offsets.stride[0] != 1)
    fail_shape("sequence_offsets", "[sequences + 1], dense", offsets);
  check_pointer("sequence_offsets", offsets, offsets.data);
  if (n.batch != 1)
    fail<shape_error>("sequence_offsets: expected batch 1 with packed sequences, got batch " +
                      std::to_string(n.batch));
  n.sequences = offsets.shape[0] - 1;
  if (!readable) return;
  const auto refuse = [](const std::string& expected, index_t i, index_t got) {
    fail<shape_error>("sequence_offsets[" + std::to_string(i) + "]: expected " + expected +
                      ", got " + std::to_string(got));
  };
  if (offsets.data[0] != 0) refuse("0", 0, offsets.data[0]);
  for (index_t i = 0; i < n.sequences; ++i)
    if (offsets.data[i + 1] < offsets.data[i])
      refuse("at least " + std::to_string(offsets.data[i]), i + 1, offsets.data[i + 1]);
  if (offsets.data[n.sequences] != n.time)
    refuse(std::to_string(n.time) + " (the tokens given)", n.sequences, offsets.data[n.sequences]);
}

/// Checks the inputs and makes them canonical. With one_token the operands have no time axis.
template <class R, class In>
auto bind_inputs(const In& in, bool one_token = false) {
  using T = typename In::format;
  check_arithmetic();
  problem_of<R, T> p;
  p.n = measure<R>(in, one_token);
  const auto as_declared = [&](const axes& a) { return one_token ? a.without(axis::time) : a; };
  check_offsets(in.sequence_offsets, p.n, !on_device<T>);
  p.offsets = in.sequence_offsets.data;
  R::operands(
      [&](const char* name, const axes& declared, presence need, const auto& from, auto& to) {
        if (!from.given() && need == presence::required)
          fail<shape_error>(std::string(name) + ": expected " + axes_text(as_declared(declared)) +
                            ", got nothing");
        to = bind(name, from, as_declared(declared), p.n, false);
        p.complex = p.complex || to.complex;
      },
      in, p.x);
  R::options([](const char*, const auto& from, auto& to) { to = from; }, in, p.x);
  R::check(in);
  p.initial_state = bind("initial_state", in.initial_state, R::state_axes, p.n, true);
  p.complex = p.complex || p.initial_state.complex;
  if (R::form.number != numbers::either) p.complex = R::form.number == numbers::complex;
  if (p.n.keys < 1 && p.n.batch > 0) fail<shape_error>("keys: expected at least 1, got 0");
  if (p.n.values < 1 && p.n.batch > 0) fail<shape_error>("values: expected at least 1, got 0");
  return p;
}

inline index_t magnitude(index_t stride) { return stride < 0 ? -stride : stride; }

// Axes nest when each step along one passes over all that the closer ones reach, so that no two
// elements share a place. Axes of stride 0, which gradients sum over, are left out.
inline bool axes_nest(const layout& x) {
  index_t reach = 0;
  bool seen[max_rank] = {};
  for (int n = 0; n < x.rank; ++n) {
    int closest = -1;
    for (int i = 0; i < x.rank; ++i)
      if (!seen[i] && (closest < 0 || magnitude(x.stride[i]) < magnitude(x.stride[closest])))
        closest = i;
    seen[closest] = true;
    const index_t stride = magnitude(x.stride[closest]), extent = x.shape[closest];
    if (extent < 2 || stride == 0) continue;
    if (stride <= reach) return false;
    reach += stride * (extent - 1);
  }
  return true;
}
// A result must not write one place twice.
inline void check_nested(const operand_name& name, const layout& x) {
  if (x.size() == 0 || axes_nest(x)) return;
  layout strides;
  strides.rank = x.rank;
  for (int i = 0; i < x.rank; ++i) strides.shape[i] = x.stride[i];
  fail_shape(name, "a place for every element of " + shape_text(x), strides,
             " as strides, by which elements share places");
}
// A result that is not summed, too.
inline void check_distinct(const char* name, const layout& x) {
  if (x.size() == 0) return;
  for (int i = 0; i < x.rank; ++i)
    if (x.shape[i] > 1 && x.stride[i] == 0)
      fail<shape_error>(std::string(name) + ": expected a stride other than 0 on axis " +
                        std::to_string(i) + " of a result with extents " + shape_text(x));
  check_nested(name, x);
}

template <class V>
bool is_real(const V& x) {
  if constexpr (requires { x.im; })
    return x.im == nullptr;
  else
    return true;
}
template <class V>
void check_complex(const char* name, const V& x, bool needed) {
  if constexpr (requires { x.im; }) {
    if (x.given() && needed && is_real(x) && x.size() > 0)
      fail<shape_error>(std::string(name) +
                        ": expected a complex view (the recurrence is complex), got a real one");
  }
}

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
  check_planes(footprint_of(name, x));
}

// A device's blocks run in any order, and of a matrix state some read what others write.
template <class R, class T>
constexpr bool out_may_be_an_operand() {
  return !attention_form<R> || !on_device<T> || R::form.gate == gate_span::entry;
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
    check_planes(f);
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
        check_nested({name, true}, x);
        add(name, x);
      },
      in, d, r.d);
  if (d.initial_state.given()) {
    r.initial_state = bind({"initial_state", true}, d.initial_state, R::state_axes, p.n, true);
    check_nested({"initial_state", true}, d.initial_state);
    add("initial_state", d.initial_state);
  }
  return r;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
