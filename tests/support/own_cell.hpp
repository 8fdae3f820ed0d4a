// A step with a state of two numbers a channel and an output that is not the state: what the
// examples' recurrences leave to the ladder's other members.
#pragma once

#include <gatescan/gatescan.hpp>

namespace own {

using gatescan::axes, gatescan::axis, gatescan::presence, gatescan::view;

// c_t = c_{t-1} / 2 + x_t + tanh(h_{t-1}),   h_t = tanh(c_t),   out_t = scale h_t
struct cell : gatescan::matrix_state<cell> {
  static constexpr const char* name = "cell";
  static constexpr gatescan::index_t states = 2;  // the keys of the state [n, H, 2, D]
  template <class E>
  struct state_of {
    E c, h;
  };

  template <class V>
  struct fields {
    using recurrence = cell;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> x{}, scale{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    f("x", axes{axis::batch, axis::time, axis::head, axis::value}, presence::required, s.x...);
    f("scale", axes{axis::value}, presence::optional, s.scale...);
  }

  template <class X, class At>
  static auto values(const X& x, const At& at) {
    return gatescan::value_of<decltype(at(x.x))>{at(x.x)};
  }
  template <class X, class E>
  static state_of<E> step(const X&, const gatescan::value_of<E>& w, const state_of<E>& before) {
    const E c = E(0.5) * before.c + w.v + gatescan::tanh(before.h);
    return {c, gatescan::tanh(c)};
  }
  template <class X, class At, class W, class E>
  static E output(const X& x, const At& at, const W&, const state_of<E>& s) {
    return x.scale.given ? at(x.scale) * s.h : s.h;
  }

  template <class X, class D, class At, class W, class E>
  static void output_adjoint(const X& x, const D& d, const At& at, const W&, W&,
                             const state_of<E>& s, E d_out, state_of<E>& d_s) {
    at.add(d.scale, d_out * s.h);
    d_s.h = d_s.h + (x.scale.given ? d_out * at(x.scale) : d_out);
  }
  template <class X, class E>
  static state_of<E> step_adjoint(const X& x, const gatescan::value_of<E>& w,
                                  gatescan::value_of<E>& d_w, const state_of<E>& before,
                                  const state_of<E>& d_after) {
    const E h = step(x, w, before).h, y = gatescan::tanh(before.h);
    const E d_c = d_after.c + d_after.h * (E(1) - h * h);
    d_w.v = d_w.v + d_c;
    return {E(0.5) * d_c, d_c * (E(1) - y * y)};
  }
  template <class X, class D, class At, class W>
  static void values_adjoint(const X&, const D& d, const At& at, const W&, const W& d_w) {
    at.add(d.x, d_w.v);
  }
};
static_assert(gatescan::recurrence<cell> && gatescan::differentiable<cell>);
static_assert(!gatescan::scannable<cell>);

}  // namespace own
