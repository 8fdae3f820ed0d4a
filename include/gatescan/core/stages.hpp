#pragma once
// The members of a recurrence as kernels call them: with the token's stage or without, as the
// recurrence has it (concepts.hpp says what each gets and returns).

#include "fields.hpp"
#include "gated_product.hpp"
#include "token_weights.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Stands in for a backend's cursor, so that rungs can be checked with no backend in sight.
template <class E>
struct probe_cursor {
  using register_type = double;

  GATESCAN_HD double operator()(const operand<const double>&) const { return 0; }
  GATESCAN_HD E element(const operand<const double>&) const { return {}; }
  template <class T>
  GATESCAN_HD void add(const operand<double>&, T) const {}
  template <class F>
  GATESCAN_HD double sum_over_keys(F&& f) const {
    return f(*this);
  }
  template <class F>
  GATESCAN_HD void for_each_key(F&& f) const {
    f(*this);
  }
  GATESCAN_HD double total(double x) const { return x; }
};

template <class R>
using probe_element = std::conditional_t<R::form.number == numbers::complex, cplx<double>, double>;

template <class R>
concept has_token_stage = requires(typename R::template fields<operand<const double>> x,
                                   probe_cursor<probe_element<R>> at) {
  R::token_stage(x, at);
};
template <class R>
concept gives_log_weights = requires(typename R::template fields<operand<const double>> x,
                                     probe_cursor<probe_element<R>> at) {
  R::log_weights(x, at);
};
/// Weights in log space of heads are made before all tokens, and stand in a token stage's place.
template <class R>
concept has_log_weights = R::form.gate != gate_span::entry&& gives_log_weights<R>;
template <class R>
concept has_token = has_token_stage<R> || has_log_weights<R>;

// A member that may take the token's stage t after the cursor, and an adjoint t and its gradient.
#define GATESCAN_STAGED(member)                                                                \
  GATESCAN_CALLS_ANY                                                                           \
  template <class X, class At, class T, class... Rest>                                         \
  GATESCAN_HD GATESCAN_INLINE static auto                                                      \
  member(const X& x, const At& at, const T& t, Rest&&... rest) requires(                       \
      requires { R::member(x, at, t, rest...); } || requires { R::member(x, at, rest...); }) { \
    if constexpr (requires { R::member(x, at, t, rest...); })                                  \
      return R::member(x, at, t, rest...);                                                     \
    else                                                                                       \
      return R::member(x, at, rest...);                                                        \
  }
#define GATESCAN_STAGED_ADJOINT(member)                                                      \
  GATESCAN_CALLS_ANY                                                                         \
  template <class X, class D, class At, class T, class... Rest>                              \
  GATESCAN_HD GATESCAN_INLINE static auto                                                    \
  member(const X& x, const D& d, const At& at, const T& t, T& d_t, Rest&&... rest) requires( \
      requires { R::member(x, d, at, t, d_t, rest...); } ||                                  \
      requires { R::member(x, d, at, rest...); }) {                                          \
    if constexpr (requires { R::member(x, d, at, t, d_t, rest...); })                        \
      return R::member(x, d, at, t, d_t, rest...);                                           \
    else                                                                                     \
      return R::member(x, d, at, rest...);                                                   \
  }

/// Calls a recurrence's members with what its token stage made, t, or without where they do not
/// take it.
template <class R>
struct stages {
  GATESCAN_CALLS_ANY
  template <class X, class At, class C>
  GATESCAN_HD GATESCAN_INLINE static auto token(const X& x, const At& at,
                                                const token_weight<C>& w) {
    if constexpr (has_log_weights<R>) {
      using E = decltype(R::log_weights(x, at).gate);
      return weights_of_token<E>{exp(E(w.log_gate)), exp(E(w.log_key)), E(w.log_gate),
                                 E(w.log_scale)};
    } else if constexpr (has_token_stage<R>) {
      return R::token_stage(x, at);
    } else {
      return no_member{};
    }
  }
  GATESCAN_CALLS_ANY
  template <class X, class D, class At, class Token>
  GATESCAN_HD GATESCAN_INLINE static void token_adjoint(const X& x, const D& d, const At& at,
                                                        const Token& t, const Token& d_t) {
    if constexpr (has_log_weights<R>) {
      using E = decltype(t.gate);
      R::log_weights_adjoint(x, d, at,
                             log_weights_of<E>{unless_zero(t.gate, d_t.gate * t.gate),
                                               unless_zero(t.key, d_t.key * t.key)});
    } else if constexpr (has_token_stage<R>) {
      R::token_stage_adjoint(x, d, at, t, d_t);
    }
  }

  GATESCAN_STAGED(keys)
  GATESCAN_STAGED(log_gate)
  GATESCAN_STAGED(values)
  GATESCAN_STAGED(output)
  GATESCAN_STAGED(denominator)
  GATESCAN_STAGED(denominator_adjoint)
  GATESCAN_STAGED_ADJOINT(keys_adjoint)
  GATESCAN_STAGED_ADJOINT(values_adjoint)
  GATESCAN_STAGED_ADJOINT(output_adjoint)
};

#undef GATESCAN_STAGED
#undef GATESCAN_STAGED_ADJOINT

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
