// A recurrence without adjoints runs forward; asked for its gradients, it is refused by a sentence.
// says: gatescan: backward needs the recurrence's adjoints
#include <gatescan/gatescan.hpp>

using gatescan::view;

// RetNet's decay, one number for all: forward only.
struct retention : gatescan::matrix_state<retention>,
                   gatescan::plain_values,
                   gatescan::plain_output {
  static constexpr const char* name = "retention";
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::key};

  template <class V>
  struct fields {
    using recurrence = retention;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> q{}, k{}, v{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
    gatescan::option_field<V, double> decay{1};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    using enum gatescan::axis;
    using enum gatescan::presence;
    f("q", gatescan::axes{batch, time, head, key}, required, s.q...);
    f("k", gatescan::axes{batch, time, head, key}, required, s.k...);
    f("v", gatescan::axes{batch, time, head, value}, required, s.v...);
  }
  template <class F, class... S>
  static constexpr void options(F&& f, S&&... s) {
    f("decay", s.decay...);
  }
  template <class X, class At>
  static auto keys(const X& x, const At& at) {
    using R = decltype(at(x.q));
    return gatescan::keys_of<R>{at(x.q), at(x.k), R(x.decay)};
  }
};
static_assert(gatescan::attention_form<retention> && !gatescan::differentiable<retention>);

int main() {
  float one = 1;
  float out = 0;
  const view<float> result{&out, {1, 1, 1, 1}};
  const view<const float> operand{&one, {1, 1, 1, 1}};
  const retention::inputs<float> in{.q = operand, .k = operand, .v = operand};
  gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, in, {.out = result});
#ifdef GATESCAN_WRONG
  gatescan::backward(gatescan::cpu{}, gatescan::chunked{}, in, {.out = operand}, {.q = result});
#endif
}
