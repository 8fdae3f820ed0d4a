#pragma once
// The capability ladder: what a recurrence supplies decides what it can be asked for.
//
//   rung             supplies                                                unlocks
//   recurrence       values, output, and a gated product or `step`           recurrent, step
//   scannable        ... and a gated product, or element_of, identity,       scan
//                    combine, apply
//   attention_form   ... a gated product: keys (a gate a key),               chunked, attention,
//                    or gate and keys or unit_keys (a gate a state entry)    attention_map
//   differentiable   the adjoint of each of these                            backward, everywhere
//
// Members are static templates over the backend's registers, so one text serves every number format
// and backend. x: the operands, `fields`; at: the place, at(x.q) reads real numbers there,
// at.element(x.q) numbers that may be complex; d: the gradients, at.add(d.q, g) adds to them; w:
// what `values` returned and d_w its gradient, which adjoints add to. An adjoint gets gradients of
// what the member returned. Elementary functions are in core/math.hpp: gatescan::exp and others.
//
//   values(x, at) -> w                    values_adjoint(x, d, at, w, d_w)
//   keys(x, at) -> keys_of{q, k, gate}    keys_adjoint(x, d, at, gradient_as_keys_of)
//   gate(x, at, w) -> a                   gate_adjoint(x, d, at, w, d_w&, a, d_a)
//   output(x, at, w, o) -> out            output_adjoint(x, d, at, w, d_w&, o, d_out) -> d_o
//   step(x, w, h) -> h                    step_adjoint(x, w, d_w&, h, d_h) -> d_h before the step
//   output(x, at, w, h) -> out            output_adjoint(x, d, at, w, d_w&, h, d_out, d_h&), adds
//   element_of(x, w) -> e    identity<E>() -> e    combine(later, earlier) -> e    apply(e, h) -> h
//
// A gate a state entry that is e^(step factor), of a step that does not depend on the key and a
// factor that does not depend on the token, may say so; keys then do not depend on the channel:
//
//   gate_step(w) -> exponent_step{step, step log2_e}    gate_step_adjoint(d_w&, d_step)
//   gate_factor(x, at) -> factor                        gate_factor_adjoint(d, at, d_factor)
//
// `element_of` and `step` see x for its numbers and switches only: what they need of the operands
// comes through w. h is `state_of<E>`, `states` numbers of type E.

#include "gated_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

namespace detail {

// Stands in for a backend's cursor, so that rungs can be checked with no backend in sight.
template <class E>
struct probe_cursor {
  double operator()(const operand<const double>&) const { return 0; }
  E element(const operand<const double>&) const { return {}; }
  template <class T>
  void add(const operand<double>&, T) const {}
};

template <class R>
constexpr auto probe_number() {
  if constexpr (requires { R::number_kind; }) {
    if constexpr (R::number_kind == numbers::complex)
      return cplx<double>{};
    else
      return double{};
  } else {
    return double{};
  }
}

template <class R>
struct probe {
  using element = decltype(probe_number<R>());
  using at = probe_cursor<element>;
  using fields = typename R::template fields<operand<const double>>;
  using sinks = typename R::template fields<operand<double>>;
  using values = decltype(R::values(fields{}, at{}));
};

template <class R>
constexpr bool has_unit_keys() {
  if constexpr (requires { R::unit_keys; })
    return R::unit_keys;
  else
    return false;
}

template <class R>
concept per_key_product = requires(typename probe<R>::fields x, typename probe<R>::at at,
                                   typename probe<R>::values w, double o) {
  requires R::gate_kind == gating::per_key;
  R::keys(x, at).q;
  R::keys(x, at).k;
  R::keys(x, at).gate;
  R::values(x, at).v;
  R::output(x, at, w, o);
};
template <class R>
concept has_keys = has_unit_keys<R>() ||
    requires(typename probe<R>::fields x, typename probe<R>::at at) {
  R::keys(x, at).q;
  R::keys(x, at).k;
};
template <class R>
concept per_entry_product = has_keys<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::values w,
             typename probe<R>::element o) {
  requires R::gate_kind == gating::per_entry;
  R::gate(x, at, w);
  R::values(x, at).v;
  R::output(x, at, w, o);
};

template <class R>
concept exponential_gate = per_entry_product<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::values w) {
  R::gate_step(w).log2e_step;
  R::gate_factor(x, at);
};

template <class R>
concept has_step = requires(typename probe<R>::fields x, typename probe<R>::at at,
                            typename probe<R>::values w, typename R::template state_of<double> h) {
  R::step(x, w, h);
  R::output(x, at, w, h);
};
template <class R>
concept has_combine = has_step<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::values w,
             typename R::template state_of<double> h) {
  R::combine(R::element_of(x, w), R::template identity<double>());
  R::apply(R::element_of(x, w), h);
};

template <class R>
concept has_values_adjoint = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                      typename probe<R>::at at, typename probe<R>::values w) {
  R::values_adjoint(x, d, at, w, w);
};
template <class R>
concept has_keys_adjoint = has_unit_keys<R>() ||
    requires(typename probe<R>::fields x, typename probe<R>::sinks d, typename probe<R>::at at,
             keys_of<typename probe<R>::element> g) {
  R::keys_adjoint(x, d, at, g);
};
template <class R>
concept per_key_adjoints = per_key_product<R> && has_keys_adjoint<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::sinks d, typename probe<R>::at at,
             typename probe<R>::values w, double o) {
  R::output_adjoint(x, d, at, w, w, o, o);
};
template <class R>
concept per_entry_adjoints = per_entry_product<R> && has_keys_adjoint<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::sinks d, typename probe<R>::at at,
             typename probe<R>::values w, typename probe<R>::element a) {
  R::gate_adjoint(x, d, at, w, w, a, a);
  R::output_adjoint(x, d, at, w, w, a, a);
};
template <class R>
concept step_adjoints = has_step<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::sinks d, typename probe<R>::at at,
             typename probe<R>::values w, typename R::template state_of<double> h, double out) {
  R::step_adjoint(x, w, w, h, h);
  R::output_adjoint(x, d, at, w, w, h, out, h);
};

}  // namespace detail

/// The gated product with its prologue: every mode can be run.
template <class R>
concept attention_form = detail::per_key_product<R> || detail::per_entry_product<R>;

/// Something with an associative operator: time can be split.
template <class R>
concept scannable = attention_form<R> || detail::has_combine<R>;

/// Anything that can take one token after another.
template <class R>
concept recurrence = attention_form<R> || detail::has_step<R>;

/// Backward exists in every mode that forward has.
template <class R>
concept differentiable = recurrence<R> && detail::has_values_adjoint<R> &&
    (detail::per_key_adjoints<R> || detail::per_entry_adjoints<R> ||
     (!attention_form<R> && detail::step_adjoints<R>));

}  // namespace GATESCAN_ABI
}  // namespace gatescan
