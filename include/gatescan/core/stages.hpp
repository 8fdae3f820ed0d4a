#pragma once
// The members of a recurrence as kernels call them: with the token's stage or without, as the
// recurrence has it (concepts.hpp says what each gets and returns).

#include "fields.hpp"
#include "gated_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Stands in for a backend's cursor, so that rungs can be checked with no backend in sight.
template <class E>
struct probe_cursor {
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
concept has_token = requires(typename R::template fields<operand<const double>> x,
                             probe_cursor<probe_element<R>> at) {
  R::token_stage(x, at);
};

/// Calls a recurrence's members with what its token stage made, t, or without where they do not
/// take it.
template <class R>
struct stages {
  GATESCAN_CALLS_ANY
  template <class X, class At>
  GATESCAN_HD GATESCAN_INLINE static auto token(const X& x, const At& at) {
    if constexpr (has_token<R>)
      return R::token_stage(x, at);
    else
      return no_member{};
  }
  GATESCAN_CALLS_ANY
  template <class X, class D, class At, class Token>
  GATESCAN_HD GATESCAN_INLINE static void token_adjoint(const X& x, const D& d, const At& at,
                                                        const Token& t, const Token& d_t) {
    if constexpr (has_token<R>) R::token_stage_adjoint(x, d, at, t, d_t);
  }

  GATESCAN_CALLS_ANY
  template <class X, class At, class Token, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto keys(const X& x, const At& at, const Token& t)
      -> decltype(S::keys(x, at, t)) {
    return R::keys(x, at, t);
  }
  GATESCAN_CALLS_ANY
  template <class X, class At, class Token, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto keys(const X& x, const At& at, const Token&)
      -> decltype(S::keys(x, at)) {
    return R::keys(x, at);
  }
  GATESCAN_CALLS_ANY
  template <class X, class At, class Token, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto log_gate(const X& x, const At& at, const Token& t)
      -> decltype(S::log_gate(x, at, t)) {
    return R::log_gate(x, at, t);
  }
  GATESCAN_CALLS_ANY
  template <class X, class At, class Token, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto log_gate(const X& x, const At& at, const Token&)
      -> decltype(S::log_gate(x, at)) {
    return R::log_gate(x, at);
  }
  GATESCAN_CALLS_ANY
  template <class X, class At, class Token, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto values(const X& x, const At& at, const Token& t)
      -> decltype(S::values(x, at, t)) {
    return R::values(x, at, t);
  }
  GATESCAN_CALLS_ANY
  template <class X, class At, class Token, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto values(const X& x, const At& at, const Token&)
      -> decltype(S::values(x, at)) {
    return R::values(x, at);
  }
  GATESCAN_CALLS_ANY
  template <class X, class At, class Token, class W, class E, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto output(const X& x, const At& at, const Token& t,
                                                 const W& w, const E& o)
      -> decltype(S::output(x, at, t, w, o)) {
    return R::output(x, at, t, w, o);
  }
  GATESCAN_CALLS_ANY
  template <class X, class At, class Token, class W, class E, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto output(const X& x, const At& at, const Token&, const W& w,
                                                 const E& o) -> decltype(S::output(x, at, w, o)) {
    return R::output(x, at, w, o);
  }
  GATESCAN_CALLS_ANY
  template <class X, class D, class At, class Token, class Keys, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto keys_adjoint(const X& x, const D& d, const At& at,
                                                       const Token& t, Token& d_t, const Keys& g)
      -> decltype(S::keys_adjoint(x, d, at, t, d_t, g)) {
    return R::keys_adjoint(x, d, at, t, d_t, g);
  }
  GATESCAN_CALLS_ANY
  template <class X, class D, class At, class Token, class Keys, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto keys_adjoint(const X& x, const D& d, const At& at,
                                                       const Token&, Token&, const Keys& g)
      -> decltype(S::keys_adjoint(x, d, at, g)) {
    return R::keys_adjoint(x, d, at, g);
  }
  GATESCAN_CALLS_ANY
  template <class X, class D, class At, class Token, class W, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto values_adjoint(const X& x, const D& d, const At& at,
                                                         const Token& t, Token& d_t, const W& w,
                                                         const W& d_w)
      -> decltype(S::values_adjoint(x, d, at, t, d_t, w, d_w)) {
    return R::values_adjoint(x, d, at, t, d_t, w, d_w);
  }
  GATESCAN_CALLS_ANY
  template <class X, class D, class At, class Token, class W, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto values_adjoint(const X& x, const D& d, const At& at,
                                                         const Token&, Token&, const W& w,
                                                         const W& d_w)
      -> decltype(S::values_adjoint(x, d, at, w, d_w)) {
    return R::values_adjoint(x, d, at, w, d_w);
  }
  GATESCAN_CALLS_ANY
  template <class X, class D, class At, class Token, class W, class E, class G, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto output_adjoint(const X& x, const D& d, const At& at,
                                                         const Token& t, Token& d_t, const W& w,
                                                         W& d_w, const E& o, const G& d_out)
      -> decltype(S::output_adjoint(x, d, at, t, d_t, w, d_w, o, d_out)) {
    return R::output_adjoint(x, d, at, t, d_t, w, d_w, o, d_out);
  }
  GATESCAN_CALLS_ANY
  template <class X, class D, class At, class Token, class W, class E, class G, class S = R>
  GATESCAN_HD GATESCAN_INLINE static auto output_adjoint(const X& x, const D& d, const At& at,
                                                         const Token&, Token&, const W& w, W& d_w,
                                                         const E& o, const G& d_out)
      -> decltype(S::output_adjoint(x, d, at, w, d_w, o, d_out)) {
    return R::output_adjoint(x, d, at, w, d_w, o, d_out);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
