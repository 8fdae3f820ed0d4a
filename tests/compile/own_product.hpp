// A gated product of a user's without one of its parts, for the twins that leave it out.
#pragma once

#include <gatescan/gatescan.hpp>

namespace own {

template <class Recurrence>
struct product : gatescan::matrix_state<Recurrence>,
                 gatescan::plain_values,
                 gatescan::plain_output {
  static constexpr const char* name = "product";
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::key};

  template <class V>
  struct fields {
    using recurrence = Recurrence;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> q{}, k{}, v{}, a{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
    gatescan::option_field<V, double> scale{1};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    using enum gatescan::axis;
    using enum gatescan::presence;
    f("q", gatescan::axes{batch, time, head, key}, required, s.q...);
    f("k", gatescan::axes{batch, time, head, key}, required, s.k...);
    f("v", gatescan::axes{batch, time, head, value}, required, s.v...);
    f("a", gatescan::axes{batch, time, head, key}, required, s.a...);
  }
  template <class F, class... S>
  static constexpr void options(F&& f, S&&... s) {
    f("scale", s.scale...);
  }
  static auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.q));
    return gatescan::keys_of<E>{at(x.q) * E(x.scale), at(x.k), at(x.a)};
  }
  static void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& g) {
    at.add(d.q, g.q * decltype(at(x.q))(x.scale));
    at.add(d.k, g.k);
    at.add(d.a, g.gate);
  }
};

/// Forward and backward of one token of one head, all operands the same number.
template <class R>
float forward_and_back(const auto& backend, const auto& mode) {
  const float one = 1;
  float out = 0, d_q = 0;
  const gatescan::view<const float> operand{&one, {1, 1, 1, 1}};
  const typename R::template inputs<float> in{
      .q = operand, .k = operand, .v = operand, .a = operand};
  gatescan::forward(backend, mode, in, {.out = {&out, {1, 1, 1, 1}}});
  gatescan::backward(backend, mode, in, {.out = operand}, {.q = {&d_q, {1, 1, 1, 1}}});
  return out + d_q;
}

}  // namespace own
