#pragma once
// Three recurrences of a user, one for each height of the capability ladder
// (gatescan/core/concepts.hpp says what a member gets and returns). Nothing here touches the
// library.

#include <gatescan/gatescan.hpp>
#include <limits>

namespace own {

using gatescan::axes, gatescan::axis, gatescan::index_t, gatescan::presence;
using gatescan::state_t, gatescan::storage_t, gatescan::view;

/// A gated product (after HGRN2, arXiv 2404.07904): the gate's complement is the key.
///   a_t = lower + (1 - lower) sigmoid(f_t)
///   S_t = diag(a_t) S_{t-1} + (1 - a_t) v_t^T,   out_t = S_t^T q_t
/// q, f [B, L, H, K]; v, out [B, L, H, V]. It says how operands become q, k, gate and v: every mode
/// and its backward follow.
struct tied : gatescan::matrix_state<tied>, gatescan::plain_values, gatescan::plain_output {
  static constexpr const char* name = "tied";
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::key};

  template <class V>
  struct fields {
    using recurrence = tied;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> q{}, f{}, v{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
    gatescan::option_field<V, double> lower{0};  // no gate is smaller
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    f("q", axes{axis::batch, axis::time, axis::head, axis::key}, presence::required, s.q...);
    f("f", axes{axis::batch, axis::time, axis::head, axis::key}, presence::required, s.f...);
    f("v", axes{axis::batch, axis::time, axis::head, axis::value}, presence::required, s.v...);
  }
  template <class F, class... S>
  static constexpr void options(F&& f, S&&... s) {
    f("lower", s.lower...);
  }

  template <class X, class At>
  static auto keys(const X& x, const At& at) {
    using E = decltype(at(x.f));
    const E room = E(1 - x.lower), f = at(x.f);
    // 1 - a as sigmoid(-f): no cancellation where the gate is nearly 1
    return gatescan::keys_of<E>{at(x.q), room * gatescan::sigmoid(-f),
                                E(x.lower) + room * gatescan::sigmoid(f)};
  }
  template <class X, class D, class At, class E>
  static void keys_adjoint(const X& x, const D& d, const At& at, const gatescan::keys_of<E>& g) {
    const E f = at(x.f), slope = gatescan::sigmoid(f) * gatescan::sigmoid(-f);
    at.add(d.q, g.q);
    at.add(d.f, (g.gate - g.k) * E(1 - x.lower) * slope);
  }
};
static_assert(gatescan::attention_form<tied> && gatescan::differentiable<tied>);

/// An associative operator: the best score of a path (max-plus, as in a Viterbi decoder).
///   h_t = max(h_{t-1} + d_t, x_t),   out_t = h_t
/// d, x, out [B, L, H, D]. There is no product, so no attention; but two tokens combine into one.
struct best_path : gatescan::channel_state<best_path>, gatescan::plain_output {
  static constexpr const char* name = "best_path";

  template <class V>
  struct fields {
    using recurrence = best_path;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> d{}, x{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    f("d", axes{axis::batch, axis::time, axis::head, axis::value}, presence::required, s.d...);
    f("x", axes{axis::batch, axis::time, axis::head, axis::value}, presence::required, s.x...);
  }

  /// What a token does to the state, and what many do: go on from it, or start anew.
  template <class E>
  struct move {
    E on, start;
  };
  template <class X, class At>
  static auto values(const X& x, const At& at) {
    return move<decltype(at(x.x))>{at(x.d), at(x.x)};
  }
  template <class X, class E>
  static E step(const X&, const move<E>& w, E h) {
    return apply(w, h);
  }
  template <class X, class E>
  static move<E> element_of(const X&, const move<E>& w) {
    return w;
  }
  template <class E>
  static move<E> identity() {
    return {E(0), E(-std::numeric_limits<double>::infinity())};
  }
  template <class E>
  static move<E> combine(const move<E>& later, const move<E>& earlier) {
    return {earlier.on + later.on, apply(later, earlier.start)};
  }
  template <class E>
  static E apply(const move<E>& m, E h) {
    return gatescan::larger(h + m.on, m.start);
  }

  // The gradient goes to the side that won.
  template <class X, class E>
  static E step_adjoint(const X&, const move<E>& w, move<E>& d_w, E h, E d_h) {
    const E lead = h + w.on - w.start, none = E(0);
    const E d_on = gatescan::select_negative(lead, none, d_h);
    d_w.on = d_w.on + d_on;
    d_w.start = d_w.start + gatescan::select_negative(lead, d_h, none);
    return d_on;
  }
  template <class X, class D, class At, class E>
  static void values_adjoint(const X&, const D& d, const At& at, const move<E>&,
                             const move<E>& d_w) {
    at.add(d.d, d_w.on);
    at.add(d.x, d_w.start);
  }
};
static_assert(gatescan::scannable<best_path> && !gatescan::attention_form<best_path>);
static_assert(gatescan::differentiable<best_path>);

/// A nonlinear step: tokens only one after another.
///   h_t = tanh(w h_{t-1} + x_t),   out_t = h_t
/// x, out [B, L, H, D]; w [H, D], a parameter of every token (its gradient is the sum over them).
struct rnn : gatescan::channel_state<rnn>, gatescan::plain_output {
  static constexpr const char* name = "rnn";

  template <class V>
  struct fields {
    using recurrence = rnn;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> w{}, x{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    f("w", axes{axis::head, axis::value}, presence::required, s.w...);
    f("x", axes{axis::batch, axis::time, axis::head, axis::value}, presence::required, s.x...);
  }

  template <class E>
  struct token_values {
    E w, x;
  };
  template <class X, class At>
  static auto values(const X& x, const At& at) {
    return token_values<decltype(at(x.x))>{at(x.w), at(x.x)};
  }
  template <class X, class E>
  static E step(const X&, const token_values<E>& v, E h) {
    return gatescan::tanh(gatescan::fma(v.w, h, v.x));
  }
  template <class X, class E>
  static E step_adjoint(const X& x, const token_values<E>& v, token_values<E>& d_v, E h, E d_h) {
    const E y = step(x, v, h), d_sum = d_h * (E(1) - y * y);
    d_v.w = d_v.w + d_sum * h;
    d_v.x = d_v.x + d_sum;
    return d_sum * v.w;
  }
  template <class X, class D, class At, class E>
  static void values_adjoint(const X&, const D& d, const At& at, const token_values<E>&,
                             const token_values<E>& d_v) {
    at.add(d.w, d_v.w);
    at.add(d.x, d_v.x);
  }
};
static_assert(gatescan::recurrence<rnn> && !gatescan::scannable<rnn>);
static_assert(gatescan::differentiable<rnn>);

}  // namespace own
