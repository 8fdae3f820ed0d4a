#pragma once
// The capability ladder: what a recurrence supplies decides what it can be asked for.
//
//   rung             supplies                                                unlocks
//   recurrence       values, output, and a gated product or `step`           recurrent, step
//   scannable        ... and a gated product, or element_of, identity,       scan
//                    combine, apply
//   attention_form   ... a gated product: keys (a gate a head or key),       chunked, attention,
//                    or gate and keys or unit_keys (a gate a state entry)    attention_map
//   differentiable   the adjoint of each of these                            backward, everywhere
//
// Members are static templates over the backend's registers, so one text serves every number format
// and backend. x: the operands, `fields`; at: the cursor, at(x.q) reads real numbers there,
// at.element(x.q) numbers that may be complex; d: the gradients, at.add(d.q, g) adds to them; w:
// what `values` returned and d_w its gradient, which adjoints add to. An adjoint gets gradients of
// what the member returned. Elementary functions are in core/math.hpp: gatescan::exp and others.
// E is a register of the state's numbers, a cplx of two where they are complex; v, out and d_out
// are what `values` and `output` make of them, real registers if those say so.
//
//   values(x, at) -> w                    values_adjoint(x, d, at, w, d_w)
//   keys(x, at) -> keys_of{q, k, gate}    keys_adjoint(x, d, at, gradient_as_keys_of)
//   gate(x, at, w) -> a                   gate_adjoint(x, d, at, w, d_w&, a, d_a)
//   output(x, at, w, o) -> out            output_adjoint(x, d, at, w, d_w&, o, d_out) -> d_o
//   step(x, w, h) -> h                    step_adjoint(x, w, d_w&, h, d_h) -> d_h before the step
//   output(x, at, w, h) -> out            output_adjoint(x, d, at, w, d_w&, h, d_out, d_h&), adds
//   element_of(x, w) -> e    identity<E>() -> e    combine(later, earlier) -> e    apply(e, h) -> h
//
// `form` says which struct keys returns: keys_of, keys_and_own_of (readout::exclusive),
// corrected_keys_of (transition::corrected) or low_rank_keys_of (transition::low_rank); its
// gradient comes back as the same struct.
//
// Backward calls, for a token: output_adjoint (d_o, and what it adds to d_w), then keys_adjoint and
// gate_adjoint, then values_adjoint with all of d_w, then
// token_stage_adjoint.
//
// Optional members, each a concept of detail:: below:
//
//   token_stage(x, at) -> t               token_stage_adjoint(x, d, at, t, d_t)
//     once a token and head, where a gate is a head's or a key's: numbers E alone, which may be of
//     several tokens at once: write E(t.gate) where it meets what `at` read. keys, log_gate, values
//     and output (those that take it) get it behind `at`: keys(x, at, t), their adjoints with its
//     gradient, which they add to: keys_adjoint(x, d, at, t, d_t&, g); accumulate(d_t.number, of
//     keys) adds what may be several registers. `at` of a token reads operands without a key or
//     value axis. at.sum_over_keys(f) adds up f(at of keys) over all keys; in its adjoint
//     at.for_each_key(f) calls f(at of keys) for all of them, and at.total(d_t.number) is the whole
//     of a gradient that keys and values have added to.
//   log_weights(x, at) -> log_weights_of{gate, key}    log_weights_adjoint(x, d, at, g)
//     instead of a token stage, where gates and weights of keys are exponentials of any size: the
//     other members get t.gate and t.key, both at most 1, t.log_gate, and t.log_scale, the m by
//     which what they make is scaled (core/token_weights.hpp). g is the gradient at fixed m.
//     With a normaliser and a gate a state entry: instead of gate and keys. It returns
//     log_weights_and_bonus_of{gate, key, bonus} of a channel, and o is the average of all values
//     by the weights their tokens had, that of the token that reads being key + bonus. It inherits
//     `steady_weights` (parts.hpp) where gate and bonus are made of operands without time.
//   denominator(x, at, n) -> divisor      denominator_adjoint(x, at, n, d_divisor) -> d_n
//     with form.normaliser: what o is divided by before `output` gets it. Both may take t, as keys.
//   has_normaliser(x)                     whether it has one, where a switch says so
//   has_log_gate(x), log_gate(x, at)      a gate that is the exponential of something: kernels in
//                                         float use it in the gate's place
//   has_head_gate(x), without_gate(d)     keys of a token may share one real gate
//   query(x), key(x)                      the operand that only q reads, that only k reads
//   gate_step(w) -> exponent_step{step, step log2_e}    gate_step_adjoint(d_w&, d_step)
//   gate_factor(x, at) -> factor                        gate_factor_adjoint(d, at, d_factor)
//     a gate a state entry that is e^(step factor), of a step that does not depend on the key and a
//     factor that does not depend on the token; keys then do not depend on the channel
//   adds_once, runs_as_channels           types that name the recurrence itself
//
// `element_of` and `step` see x for its numbers and switches only: what they need of the operands
// comes through w. h is `state_of<E>`, `states` numbers of type E. How many keys there are at run
// time nobody is told: a cursor stands at some of them.
//
// once<0>(at, x.Lambda, f) in a member without keys is f(at(x.Lambda)), which kernels may keep from
// token to token (core/once.hpp).

#include "parts.hpp"
#include "stages.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

namespace detail {

// What the concepts below are asked with.
template <class R>
struct probe {
  using element = probe_element<R>;
  using at = probe_cursor<element>;
  using fields = typename R::template fields<operand<const double>>;
  using sinks = typename R::template fields<operand<double>>;
  using stage = stages<R>;
  using token = decltype(stage::token(fields{}, at{}, token_weight<double>{}));
  using values = decltype(stage::values(fields{}, at{}, token{}));
};
template <class R>
concept gives_values = requires {
  typename probe<R>::values;
};

// ---- members of the rungs

template <class R>
constexpr bool has_unit_keys() {
  if constexpr (requires { R::unit_keys; })
    return R::unit_keys;
  else
    return false;
}
template <class R>
concept gives_keys = gives_values<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::token t) {
  probe<R>::stage::keys(x, at, t).q;
  probe<R>::stage::keys(x, at, t).k;
};

// The struct that `keys` has to return.
template <class R>
concept keys_fit_form = gives_keys<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::token t) {
  probe<R>::stage::keys(x, at, t).gate;
  requires R::form.reads != readout::exclusive || requires { probe<R>::stage::keys(x, at, t).own; };
  requires R::form.moves == transition::diagonal || requires { probe<R>::stage::keys(x, at, t).p; };
  requires R::form.moves != transition::low_rank || requires { probe<R>::stage::keys(x, at, t).b; };
};
template <class R>
concept gives_value = gives_values<R> && requires(typename probe<R>::values w) {
  w.v;
};
template <class R>
concept gives_gate = gives_values<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::values w) {
  R::gate(x, at, w);
};
// What o is: a register of the state's numbers; of a keyed product a real one, since it is what
// values are.
template <class R>
using probe_o = std::conditional_t<R::form.gate == gate_span::entry, probe_element<R>, double>;
template <class R>
concept gives_output = gives_values<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::token t,
             typename probe<R>::values w, probe_o<R> o) {
  probe<R>::stage::output(x, at, t, w, o);
};

template <class R>
concept gives_denominator = requires(typename probe<R>::fields x, typename probe<R>::at at,
                                     typename probe<R>::token t) {
  probe<R>::stage::denominator(x, at, t, 1.0);
};

template <class R>
concept keyed_product =
    R::form.gate != gate_span::entry&& keys_fit_form<R>&& gives_value<R>&& gives_output<R> &&
    (!R::form.normaliser || gives_denominator<R>);
template <class R>
concept per_entry_product = R::form.gate == gate_span::entry&& gives_gate<R> &&
                            (has_unit_keys<R>() || gives_keys<R>)&&gives_value<R>&& gives_output<R>;

/// An average a channel, of weights in log space.
template <class R>
concept averages_channels = R::form.gate == gate_span::entry&& R::form.normaliser;
template <class R>
concept average_form = averages_channels<R> && R::form.reads ==
                       readout::exclusive&& R::form.number ==
                       numbers::real&& gives_value<R>&& gives_output<R>&& requires(
                           typename probe<R>::fields x, typename probe<R>::at at) {
  R::log_weights(x, at).gate;
  R::log_weights(x, at).key;
  R::log_weights(x, at).bonus;
};

template <class R>
concept has_step = gives_values<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::values w,
             typename R::template state_of<double> h) {
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

// ---- adjoints

template <class R>
concept has_values_adjoint = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                      typename probe<R>::at at, typename probe<R>::token t,
                                      typename probe<R>::values w) {
  probe<R>::stage::values_adjoint(x, d, at, t, t, w, w);
};
template <class R>
concept has_keys_adjoint = has_unit_keys<R>() ||
    requires(typename probe<R>::fields x, typename probe<R>::sinks d, typename probe<R>::at at,
             typename probe<R>::token t) {
  probe<R>::stage::keys_adjoint(x, d, at, t, t, probe<R>::stage::keys(x, at, t));
};
template <class R>
concept has_gate_adjoint = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                    typename probe<R>::at at, typename probe<R>::values w,
                                    typename probe<R>::element a) {
  R::gate_adjoint(x, d, at, w, w, a, a);
};
// The gradient of an output is as real as the output is.
template <class R>
concept has_output_adjoint = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                      typename probe<R>::at at, typename probe<R>::token t,
                                      typename probe<R>::values w, probe_o<R> o) {
  probe<R>::stage::output_adjoint(x, d, at, t, t, w, w, o, probe<R>::stage::output(x, at, t, w, o));
};
template <class R>
concept has_log_weights_adjoint = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                           typename probe<R>::at at) {
  R::log_weights_adjoint(x, d, at, R::log_weights(x, at));
};
template <class R>
concept has_token_adjoint = has_log_weights_adjoint<R> ||
    requires(typename probe<R>::fields x, typename probe<R>::sinks d, typename probe<R>::at at,
             typename probe<R>::token t) {
  R::token_stage_adjoint(x, d, at, t, t);
};
template <class R>
concept has_denominator_adjoint =
    !R::form.normaliser || averages_channels<R> ||
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::token t) {
  probe<R>::stage::denominator_adjoint(x, at, t, 1.0, 1.0);
};
template <class R>
concept has_step_adjoint = requires(typename probe<R>::fields x, typename probe<R>::values w,
                                    typename R::template state_of<double> h) {
  R::step_adjoint(x, w, w, h, h);
};
template <class R>
concept has_state_output_adjoint = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                            typename probe<R>::at at, typename probe<R>::values w,
                                            typename R::template state_of<double> h, double out) {
  R::output_adjoint(x, d, at, w, w, h, out, h);
};

// ---- optional members

template <class R>
concept has_log_gate = requires(typename probe<R>::fields x, typename probe<R>::at at,
                                typename probe<R>::token t) {
  R::has_log_gate(x);
  probe<R>::stage::log_gate(x, at, t);
};
/// All keys of a token may have one real gate: always, or as has_head_gate(x) says.
template <class R>
concept may_have_head_gate = R::form.gate == gate_span::head ||
                             requires(typename probe<R>::fields x) {
  R::has_head_gate(x);
};
/// Gradients that only the gate adds to can be told from the others.
template <class R>
concept separates_head_gate = R::form.gate == gate_span::head ||
                              requires(typename probe<R>::sinks d) {
  R::without_gate(d);
};
template <class R>
concept separates_query = requires(typename probe<R>::fields x) {
  R::query(x);
};
template <class R>
concept separates_key = requires(typename probe<R>::fields x) {
  R::key(x);
};
template <class R>
concept exponential_gate = per_entry_product<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::at at, typename probe<R>::values w) {
  R::gate_step(w).log2e_step;
  R::gate_factor(x, at);
};
// Types rather than values, so that a recurrence derived from another does not inherit them.
template <class R>
concept adds_once = requires {
  requires std::is_same_v<typename R::adds_once, R>;
};
template <class R>
concept runs_as_channels = requires {
  requires std::is_same_v<typename R::runs_as_channels, R>;
};
/// The output is o: its adjoint does not need it.
template <class R>
concept has_plain_output = std::is_base_of_v<plain_output, R>;
template <class R>
concept has_linear_output = has_plain_output<R> || std::is_base_of_v<linear_output, R>;

/// Whether the state of these operands (or inputs) has a normaliser's column.
template <class R, class X>
GATESCAN_HD GATESCAN_INLINE bool has_normaliser(const X& x) {
  if constexpr (requires { R::has_normaliser(x); })
    return R::has_normaliser(x);
  else
    return R::form.normaliser;
}
template <class R, class X>
GATESCAN_HD GATESCAN_INLINE bool has_head_gate(const X& x) {
  if constexpr (R::form.gate == gate_span::head)
    return true;
  else if constexpr (may_have_head_gate<R>)
    return R::has_head_gate(x);
  else
    return false;
}
template <class R, class D>
GATESCAN_HD GATESCAN_INLINE D without_gate(const D& d) {
  if constexpr (requires { R::without_gate(d); })
    return R::without_gate(d);
  else
    return d;
}

}  // namespace detail

/// The gated product with its prologue: every mode can be run.
template <class R>
concept attention_form =
    detail::keyed_product<R> || detail::per_entry_product<R> || detail::average_form<R>;

/// Something with an associative operator: time can be split.
template <class R>
concept scannable = attention_form<R> || detail::has_combine<R>;

/// Anything that can take one token after another.
template <class R>
concept recurrence = attention_form<R> || detail::has_step<R>;

/// Backward exists in every mode that forward has.
template <class R>
concept differentiable =
    recurrence<R> && detail::has_values_adjoint<R> &&
    ((detail::keyed_product<R> && detail::has_keys_adjoint<R> && detail::has_output_adjoint<R>) ||
     (detail::per_entry_product<R> && detail::has_keys_adjoint<R> && detail::has_gate_adjoint<R> &&
      detail::has_output_adjoint<R>) ||
     (detail::average_form<R> && detail::has_log_weights_adjoint<R> &&
      detail::has_output_adjoint<R>) ||
     (!attention_form<R> && detail::has_step_adjoint<R> && detail::has_state_output_adjoint<R>)) &&
    (!detail::has_token<R> || detail::has_token_adjoint<R>)&&detail::has_denominator_adjoint<R>;

}  // namespace GATESCAN_ABI
}  // namespace gatescan
