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

inline constexpr int max_results = 16, most_parts = 3;

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

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_size(const char* what, const char* expected,
                                                             index_t got) {
  fail<shape_error>(std::string(what) + ": expected " + expected + ", got " + std::to_string(got));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_sizes(const sizes& n) {
  std::string text = "sizes: expected at most 2^56 numbers a tensor of all axes, got";
  const auto add = [&](const char* name, index_t extent) {
    text.append(" ").append(name).append(" ").append(std::to_string(extent)).append(",");
  };
  add("batch", n.batch), add("sequences", n.sequences), add("time", n.time);
  add("heads", n.heads), add("keys", n.keys), add("values", n.values);
  text.pop_back();
  fail<shape_error>(text);
}
/// Sizes that a problem can have: as many numbers of each operand as an index can count.
inline void check_sizes(const sizes& n) {
  const bool any = n.batch > 0;
  const auto at_least = [](const char* what, bool one, index_t got) {
    if (got < (one ? 1 : 0)) fail_size(what, one ? "at least 1" : "at least 0", got);
  };
  at_least("batch", false, n.batch);
  at_least("sequences", false, n.sequences);
  at_least("time", false, n.time);
  at_least("heads", false, n.heads);
  at_least("keys", any, n.keys);
  at_least("values", any, n.values);
  if (n.heads > index_t{0xffffffff}) fail_size("heads", "fewer than 2^32", n.heads);
  double numbers = 1;
  for (const index_t extent : {(std::max)(n.batch, n.sequences), n.time, n.heads, n.keys, n.values})
    numbers *= static_cast<double>(std::max<index_t>(extent, 1));
  if (numbers > 0x1p56) fail_sizes(n);
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

inline void check_wanted(state_part which, const operand_name& name, const layout& x,
                         bool normalised) {
  if (which == state_part::normaliser && !normalised && x.rank != 0)
    fail<shape_error>(std::string(name) + ": expected none where nothing is normalised, got one");
}
/// The parts of a state come together: all that the problem has, or none.
template <class R, class State>
void check_parts(const char* name, const State& state, bool normalised) {
  if constexpr (has_parts<State>) {
    bool any = false;
    for_each_part<R>(
        [&](state_part, const char*, const axes&, const auto& x) { any = any || x.given(); },
        state);
    for_each_part<R>(
        [&](state_part which, const char* part, const axes& a, const auto& x) {
          const operand_name part_name(name, false, part);
          check_wanted(which, part_name, x, normalised);
          if (any && !x.given() && (which != state_part::normaliser || normalised))
            fail<shape_error>(std::string(part_name) + ": expected " + axes_text(view_axes(a)) +
                              " beside the other parts, got nothing");
        },
        state);
  }
}
/// Gradients are those at fixed m.
inline void check_not_fixed(state_part which, const operand_name& name, const layout& x) {
  if (which == state_part::log_scale && x.rank != 0)
    fail<shape_error>(std::string(name) + ": expected none (gradients are those at a fixed " +
                      name.part + "), got one");
}

/// What is read where an operand did not come, by a recurrence that does not ask whether it did.
template <class S>
inline constexpr S zero_of{};

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
            to = bind(name, from, wanted, p.n, false, [&](axis of) {
              return origin_of<R, OneToken>(in, name, of, extent(p.n, of));
            });
            if (from.given() && to.head == 0) to.heads_a_group = std::max<index_t>(p.n.heads, 1);
            if constexpr (!on_device<T>)
              if (!from.given()) to.re = &zero_of<std::remove_pointer_t<decltype(to.re)>>;
            p.complex = p.complex || to.complex;
          },
      in, p.x);
  R::options([](const char*, const auto& from, auto& to) { to = from; }, in, p.x);
  R::check(in);
  p.normalised = has_normaliser<R>(in);
  check_parts<R>("initial_state", in.initial_state, p.normalised);
  for_each_part<R>(
      [&](state_part which, const char* part, const axes& a, const auto& x) {
        p.initial_state[which] = bind({"initial_state", false, part}, x, a, p.n, true);
      },
      in.initial_state);
  p.complex = p.complex || p.initial_state.complex;
  if (R::form.number != numbers::either) p.complex = R::form.number == numbers::complex;
  check_sizes(p.n);
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
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_stride_of_0(const operand_name& name,
                                                                    const layout& x, int i) {
  fail<shape_error>(std::string(name) + ": expected a stride other than 0 on axis " +
                    std::to_string(i) + " of a result with extents " + shape_text(x));
}
inline void check_distinct(const operand_name& name, const layout& x) {
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
// `whose` is complex, so that the real parts would not be all of x.
template <class V>
void check_complex(const operand_name& name, const V& x, bool needed,
                   const char* whose = "the recurrence") {
  if constexpr (requires { x.im; }) {
    if (x.given() && needed && is_real(x) && x.size() > 0)
      fail<shape_error>(std::string(name) + ": expected a complex view (" + whose +
                        " is complex), got a real one");
  }
}

template <class In, class F>
void for_each_input(const In& in, F&& f) {
  using R = typename In::recurrence;
  R::operands(
      [&](const char* name, const axes& a, presence, const auto& x) {
        f(operand_name(name), x,
          !a.has(
              axis::group));  // what only one lane reads may be overwritten by that lane's results
      },
      in);
  for_each_part<R>([&](state_part, const char* part, const axes&,
                       const auto& x) { f(operand_name("initial_state", false, part), x, false); },
                   in.initial_state);
}

template <class V>
GATESCAN_INLINE auto bind_result(const operand_name& name, const V& x, const view_axes& a,
                                 const sizes& n, bool complex) {
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

template <bool OneToken = false, class R, class T, class In>
forward_results<T> bind_outputs(const problem_of<R, T>& p, const In& in,
                                const outputs_of<In>& out) {
  const view_axes out_axes(R::out_axes, OneToken);
  forward_results<T> to;
  footprint written[1 + most_parts];
  int count = 0;
  const auto add = [&](const operand_name& name, const auto& x, const view_axes& a) {
    const auto bound = bind_result(name, x, a, p.n, p.complex);
    const footprint f = footprint_of(name, x);
    for (int i = 0; i < count; ++i) check_apart(written[i], f, false);
    written[count++] = f;
    return bound;
  };
  check_parts<R>("final_state", out.final_state, p.normalised);
  bool any_state = false;
  to.out = add("out", out.out, out_axes);
  for_each_part<R>(
      [&](state_part which, const char* part, const axes& a, const auto& x) {
        any_state = any_state || x.given();
        to.final_state[which] = add({"final_state", false, part}, x, a);
      },
      out.final_state);
  if (!out.out.given() && !any_state)
    fail<shape_error>("out: expected " + axes_text(out_axes) + ", got neither out nor final_state");
  for_each_input(in, [&](const operand_name& name, const auto& x, bool own) {
    const footprint input = footprint_of(name, x);
    check_apart(written[0], input, own && out_may_be_an_operand<R, T>());
    for (int i = 1; i < count; ++i)  // advanced in place
      check_apart(written[i], input,
                  name == operand_name("initial_state", false, written[i].name.part));
  });
  return to;
}

template <class R, class T, class In>
backward_results<R, T> bind_gradients(const problem_of<R, T>& p, const In& in,
                                      const output_gradients_of<In>& d_out,
                                      const gradients_of<In>& d) {
  backward_results<R, T> r;
  const auto check_given = [&](const operand_name& name, const auto& x, const axes& a) {
    if (x.given()) check_complex(name, x, p.complex);
    return bind(name, x, a, p.n, true);
  };
  r.out = check_given({"out", true}, d_out.out, R::out_axes);
  for_each_part<R>(
      [&](state_part which, const char* part, const axes& a, const auto& x) {
        const operand_name name("final_state", true, part);
        check_not_fixed(which, name, x);
        check_wanted(which, name, x, p.normalised);
        r.final_state[which] = check_given(name, x, a);
      },
      d_out.final_state);

  footprint written[max_results];
  int count = 0;
  const auto add = [&](const operand_name& name, const auto& x) {
    const footprint f = footprint_of(name, x);
    check_planes(f);
    for (int i = 0; i < count; ++i) check_apart(f, written[i], false);
    for_each_input(in, [&](const operand_name& other, const auto& y, bool) {
      check_apart(f, footprint_of(other, y), false);
    });
    check_apart(f, footprint_of("the gradient of out", d_out.out), false);
    for_each_part<R>(
        [&](state_part, const char* part, const axes&, const auto& y) {
          check_apart(f, footprint_of({"the gradient of final_state", false, part}, y), true);
        },
        d_out.final_state);
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
        check_complex({name, true}, x, !is_real(operand), name);
        check_nested({name, true}, x);
        add(name, x);
      },
      in, d, r.d);
  for_each_part<R>(
      [&](state_part which, const char* part, const axes& a, const auto& x, const auto& state) {
        if (!x.given()) return;
        const operand_name name("initial_state", true, part);
        check_not_fixed(which, name, x);
        check_wanted(which, name, x, p.normalised);
        check_complex(name, x, state.given() ? !is_real(state) : p.complex, "initial_state");
        r.initial_state[which] = bind(name, x, a, p.n, true);
        check_nested(name, x);
        add({"initial_state", false, part}, x);
      },
      d.initial_state, in.initial_state);
  return r;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
