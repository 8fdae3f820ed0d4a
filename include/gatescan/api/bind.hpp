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

// The largest extent of every axis, as the operands have them; -1 of one that none has.
class largest_extents {
 public:
  largest_extents() { std::fill(std::begin(most_), std::end(most_), index_t{-1}); }

  GATESCAN_INLINE void add(const layout& x, const view_axes& a) {
    if (x.rank != a.rank) return;  // found by check_layout afterwards
    a.for_each([&](axis of, int i)
                   __attribute__((always_inline)) { most(of) = (std::max)(most(of), x.shape[i]); });
  }
  bool has(axis a) const { return most_[static_cast<int>(a)] >= 0; }
  index_t operator[](axis a) const { return std::max<index_t>(most_[static_cast<int>(a)], 0); }

 private:
  index_t& most(axis a) { return most_[static_cast<int>(a)]; }
  index_t most_[static_cast<int>(axis::channel) + 1];
};

// Extents as the operands have them. What does not fit is found by check_layout afterwards.
template <class R, bool OneToken, class In>
sizes measure(const In& in) {
  largest_extents most;
  R::operands(
      [&](const char*, const axes& declared, presence, const auto& x)
          __attribute__((always_inline)) {
            if (x.given()) most.add(x, view_axes(x, {declared, OneToken}));
          },
      in);
  sizes n;
  n.batch = n.sequences = most[axis::batch];
  n.time = OneToken ? 1 : most[axis::time];
  n.heads = most[axis::head];
  n.keys = (std::max)(most[axis::key], most[axis::key_or_one]);
  n.values = (std::max)(most[axis::value], most[axis::value_or_one]);
  if (most.has(axis::channel) && !most.has(axis::head)) {
    const index_t channels = most[axis::channel];
    const index_t groups = std::max<index_t>(most[axis::group], 1);
    if (channels % groups != 0)
      fail<shape_error>("groups: expected a divisor of " + std::to_string(channels) +
                        " channels, got " + std::to_string(groups));
    n.heads = groups, n.values = channels / groups;
  }
  if constexpr (has_unit_keys<R>()) n.keys = 1;
  if constexpr (requires { R::states; }) n.keys = R::states;
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

/// Checks the inputs and makes them canonical. With OneToken the operands have no time axis.
template <class R, bool OneToken = false, class In>
auto bind_inputs(const In& in) {
  using T = typename In::format;
  check_arithmetic();
  problem_of<R, T> p;
  p.n = measure<R, OneToken>(in);
  check_offsets(in.sequence_offsets, p.n, !on_device<T>);
  p.offsets = in.sequence_offsets.data;
  R::operands(
      [&](const char* name, const axes& declared, presence need, const auto& from, auto& to)
          __attribute__((always_inline)) {
            const view_axes wanted(declared, OneToken);
            if (!from.given() && need == presence::required) fail_missing(name, wanted);
            to = bind(name, from, wanted, p.n, false);
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

// Axes nest when each step along one passes over all that the closer ones reach: then no two
// elements share a place. Axes of stride 0, which gradients sum over, are left out. Layouts that do
// not nest and still keep elements apart, such as (2, 3) with strides (3, 2), are refused too: no
// transposed, sliced or padded array is one.
inline bool axes_nest(const layout& x) {
  const layout sorted = by_distance(x);
  index_t reach = 0;
  for (int i = 0; i < sorted.rank; ++i) {
    if (sorted.stride[i] == 0) continue;
    if (sorted.stride[i] <= reach) return false;
    reach += sorted.stride[i] * (sorted.shape[i] - 1);
  }
  return true;
}
// A result must not write one place twice.
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_nested(const operand_name& name,
                                                               const layout& x) {
  layout strides;
  strides.rank = x.rank;
  for (int i = 0; i < x.rank; ++i) strides.shape[i] = x.stride[i];
  fail_shape(name,
             "strides for " + shape_text(x) +
                 " that pass over all that smaller ones reach, so that "
                 "no two elements share a place",
             strides);
}
inline void check_nested(const operand_name& name, const layout& x) {
  if (x.size() > 0 && !axes_nest(x)) fail_nested(name, x);
}
// A result that is not summed, too.
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_stride_of_0(const char* name,
                                                                    const layout& x, int i) {
  fail<shape_error>(std::string(name) + ": expected a stride other than 0 on axis " +
                    std::to_string(i) + " of a result with extents " + shape_text(x));
}
inline void check_distinct(const char* name, const layout& x) {
  if (x.size() == 0) return;
  for (int i = 0; i < x.rank; ++i)
    if (x.shape[i] > 1 && x.stride[i] == 0) fail_stride_of_0(name, x, i);
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
GATESCAN_INLINE auto bind_result(const char* name, const V& x, const view_axes& a, const sizes& n,
                                 bool complex) {
  const auto to = bind(name, x, a, n, true);
  if (!x.given()) return to;
  check_distinct(name, x);
  check_complex(name, x, complex);
  check_planes(footprint_of(name, x));
  return to;
}

// A device's blocks run in any order, and of a matrix state some read what others write.
template <class R, class T>
constexpr bool out_may_be_an_operand() {
  return !attention_form<R> || !on_device<T> || R::form.gate == gate_span::entry;
}

[[gnu::noinline]] inline void check_results_apart(const footprint& out, const footprint& state,
                                                  const footprint& input, bool may_be_out) {
  check_apart(out, input, may_be_out);
  check_apart(state, input, input.name == std::string_view("initial_state"));  // advanced in place
}

template <bool OneToken = false, class R, class T, class In>
forward_results<T> bind_outputs(const problem_of<R, T>& p, const In& in,
                                const outputs_of<In>& out) {
  const view_axes out_axes(R::out_axes, OneToken);
  if (!out.out.given() && !out.final_state.given())
    fail<shape_error>("out: expected " + axes_text(out_axes) + ", got neither out nor final_state");
  const forward_results<T> to{
      bind_result("out", out.out, out_axes, p.n, p.complex),
      bind_result("final_state", out.final_state, R::state_axes, p.n, p.complex)};
  const footprint o = footprint_of("out", out.out),
                  s = footprint_of("final_state", out.final_state);
  check_apart(o, s, false);
  for_each_input(in, [&](const char* name, const auto& x, bool own) {
    check_results_apart(o, s, footprint_of(name, x), own && out_may_be_an_operand<R, T>());
  });
  return to;
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
