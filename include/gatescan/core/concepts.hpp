#pragma once
// The capability ladder: what a recurrence supplies decides what it can be asked for. Each rung
// includes the one above.
//
//   recurrence      values, output and either the gated product's prologue or `step`     recurrent
//   mode, step scannable       the gated product, or element_of, identity, combine, apply scan
//   attention_form  the gated product (gated_product.hpp)                                chunked,
//   attention differentiable  the adjoints of what it supplies backward in all of those

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
concept per_key_product = requires(typename probe<R>::fields x, typename probe<R>::at at) {
  requires R::gate_kind == gating::per_key;
  R::keys(x, at).q;
  R::keys(x, at).k;
  R::keys(x, at).gate;
  R::values(x, at).v;
};
template <class R>
concept per_entry_product = requires(typename probe<R>::fields x, typename probe<R>::at at,
                                     typename probe<R>::values w) {
  requires R::gate_kind == gating::per_entry;
  R::gate(x, at, w);
  R::values(x, at).v;
};

template <class R>
concept has_step = requires(typename probe<R>::fields x, typename probe<R>::values w,
                            typename R::template state_of<double> h) {
  R::step(x, w, h);
};
template <class R>
concept has_combine = has_step<R> &&
    requires(typename probe<R>::fields x, typename probe<R>::values w,
             typename R::template state_of<double> h) {
  R::combine(R::element_of(x, w), R::template identity<double>());
  R::apply(R::element_of(x, w), h);
};

template <class R>
concept has_keys_adjoint = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                    typename probe<R>::at at,
                                    keys_of<typename probe<R>::element> g) {
  R::keys_adjoint(x, d, at, g);
};
template <class R>
concept has_gate_adjoint = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                    typename probe<R>::at at, typename probe<R>::values w,
                                    typename probe<R>::element a) {
  R::gate_adjoint(x, d, at, w, w, a, a);
};
template <class R>
concept has_step_adjoint = requires(typename probe<R>::fields x, typename probe<R>::values w,
                                    typename R::template state_of<double> h) {
  R::step_adjoint(x, w, w, h, h);
};
template <class R>
concept has_value_adjoints = requires(typename probe<R>::fields x, typename probe<R>::sinks d,
                                      typename probe<R>::at at, typename probe<R>::values w) {
  R::values_adjoint(x, d, at, w, w);
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
concept differentiable = recurrence<R> && detail::has_value_adjoints<R> &&
    (detail::per_key_product<R>     ? detail::has_keys_adjoint<R>
     : detail::per_entry_product<R> ? detail::has_gate_adjoint<R> && (detail::has_unit_keys<R>() ||
                                                                      detail::has_keys_adjoint<R>)
                                    : detail::has_step_adjoint<R>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
