#pragma once
// What is wrong with a recurrence, a sentence a mistake. Every verb asks, before anything that
// would bury the mistake under templates of the library.

#include "concepts.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Each pair of members, whatever they return: names alone, so that half of a pair is found.
template <class R>
concept names_keys = requires(typename probe<R>::fields x, typename probe<R>::at at) {
  R::keys(x, at);
}
|| gives_keys<R>;
template <class R>
concept names_step = requires(typename probe<R>::fields x, typename probe<R>::values w,
                              typename R::template state_of<double> h) {
  R::step(x, w, h);
};
template <class R>
concept names_any_of_operator = requires {
  &R::template combine<double>;
}
|| requires { R::template identity<double>(); };

// What every recurrence has beside its math.
template <class R>
concept says_results = requires {
  R::out_axes;
  R::state_axes;
  typename R::template outputs<double>;
};
template <class R>
concept has_usual_fields = requires(typename R::template fields<counting> s) {
  s.initial_state;
  s.sequence_offsets;
};
// A state of one tensor is complex where the form says that numbers are, or may be.
template <class R>
constexpr bool state_fits_form() {
  using state = typename R::template state<double>;
  if constexpr (
      requires(state s) { s.data; } || requires(state s) { s.im; })
    return requires(state s) { s.im; }
  == (R::form.number != numbers::real);
  else return true;
}

template <class R>
consteval bool lists_members() {
  static_assert(
      requires { typename R::template fields<counting>; },
      "gatescan: a recurrence needs a template `fields<V>` of its members "
      "(core/fields.hpp)");
  static_assert(
      requires { R::name; },
      "gatescan: a recurrence needs a name: `static constexpr const char* name`");
  static_assert(says_results<R>,
                "gatescan: a recurrence needs out_axes, state_axes and the types of its results: "
                "matrix_state<R> or another of core/result_types.hpp inherited");
  static_assert(has_usual_fields<R>,
                "gatescan: fields<V> needs `real_state_field<V> initial_state{}` (or that of a "
                "complex state, or state_field of several parts) and `offsets_field<V> "
                "sequence_offsets{}`");
  static_assert(lists_members_constexpr<R>,
                "gatescan: `operands` and `options` have to be static constexpr, and call f with "
                "members of fields only");
  if constexpr (lists_members_constexpr<R>)
    static_assert(lists_every_member<R>(),
                  "gatescan: a member of fields is not listed: each operand belongs in `operands`, "
                  "each switch in `options`, once; initial_state and sequence_offsets in neither");
  return true;
}

/// That forward can be asked for.
template <class R>
consteval bool is_recurrence() {
  if constexpr (!lists_members<R>()) return false;
  constexpr bool keyed = R::form.gate != gate_span::entry;
  static_assert(gives_values<R>,
                "gatescan: there is no values(x, at), nor plain_values inherited, or it does not "
                "compile for a cursor");
  if constexpr (gives_values<R>) {
    constexpr bool product = names_keys<R> || gives_gate<R> || averages_channels<R>;
    static_assert(
        product || names_step<R>,
        "gatescan: there is neither the gated product's keys(x, at) or gate(x, at, w), nor "
        "step(x, w, h); or it is not static, or it does not compile for a cursor");
    static_assert(!product || state_fits_form<R>(),
                  "gatescan: a state is of complex numbers (matrix_state<R, complex_view>) where "
                  "form.number says so, and only there");
    if constexpr (product && !state_fits_form<R>()) return false;
    if constexpr (product && !names_step<R>) {
      static_assert(gives_value<R>, "gatescan: what values returns has no member v");
      static_assert(!keyed || gives_keys<R>,
                    "gatescan: form says a gate a head or key, and keys(x, at) returns no q and k");
      static_assert(!keyed || !gives_keys<R> || keys_fit_form<R>,
                    "gatescan: keys(x, at) does not return what form says: keys_of{q, k, gate}, "
                    "keys_and_own_of for readout::exclusive, corrected_keys_of for "
                    "transition::corrected, low_rank_keys_of for transition::low_rank");
      static_assert(!averages_channels<R> || average_form<R>,
                    "gatescan: form says a normaliser and a gate a state entry: that needs "
                    "readout::exclusive, real numbers, and log_weights(x, at) that returns "
                    "log_weights_and_bonus_of");
      static_assert(keyed || averages_channels<R> || gives_gate<R>,
                    "gatescan: form says a gate a state entry, and there is no gate(x, at, w)");
      static_assert(
          keyed || averages_channels<R> || has_unit_keys<R>() || gives_keys<R>,
          "gatescan: form says a gate a state entry, and there is neither keys(x, at) nor "
          "unit_keys");
      static_assert(
          !keyed || has_log_gate<R> ||
              !requires(typename probe<R>::fields x) { R::has_log_gate(x); },
          "gatescan: has_log_gate(x) without log_gate(x, at)");
      static_assert(!keyed || !R::form.normaliser || gives_denominator<R>,
                    "gatescan: form says a normaliser, and there is no denominator(x, at, n)");
      static_assert(!keyed || !R::form.normaliser ||
                        (R::form.moves == transition::diagonal &&
                         R::form.reads == readout::inclusive && R::form.number == numbers::real),
                    "gatescan: a normaliser of a gate a head or key needs real numbers, and a "
                    "state that is read inclusively and not corrected");
      static_assert(gives_output<R>,
                    "gatescan: there is no output(x, at, w, o), nor plain_output inherited");
    }
    if constexpr (names_step<R>)
      static_assert(has_step<R>,
                    "gatescan: step without output(x, at, w, h), nor plain_output inherited");
  }
  return recurrence<R>;
}

/// That backward can be asked for, of a recurrence.
template <class R>
consteval bool is_differentiable() {
  constexpr bool keyed = keyed_product<R>, entries = per_entry_product<R>;
  constexpr bool averages = average_form<R>;
  static_assert(has_values_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is no "
                "values_adjoint(x, d, at, w, d_w)");
  static_assert(!(keyed || entries) || has_keys_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is no "
                "keys_adjoint(x, d, at, g) of what keys returns");
  static_assert(!entries || has_gate_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is no "
                "gate_adjoint(x, d, at, w, d_w, a, d_a)");
  static_assert(!averages || has_log_weights_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is no "
                "log_weights_adjoint(x, d, at, g) of what log_weights returns");
  static_assert(!(keyed || entries || averages) || has_output_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is no "
                "output_adjoint(x, d, at, w, d_w, o, d_out)");
  static_assert(keyed || entries || averages || has_step_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is no "
                "step_adjoint(x, w, d_w, h, d_h)");
  static_assert(keyed || entries || averages || has_state_output_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is no "
                "output_adjoint(x, d, at, w, d_w, h, d_out, d_h)");
  static_assert(!has_token<R> || has_token_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is a token stage and no "
                "token_stage_adjoint(x, d, at, t, d_t), or log_weights and no "
                "log_weights_adjoint(x, d, at, g)");
  static_assert(has_denominator_adjoint<R>,
                "gatescan: backward needs the recurrence's adjoints: there is no "
                "denominator_adjoint(x, at, n, d_denominator)");
  return differentiable<R>;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
