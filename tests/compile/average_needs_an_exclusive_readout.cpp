// A user's average of channels: with a readout that there is no kernel for it is refused by a
// sentence.
// says: gatescan: form says a normaliser and a gate a state entry: that needs readout::exclusive
#include <gatescan/gatescan.hpp>

struct mine : gatescan::average_state<mine, gatescan::rwkv4_state>,
              gatescan::plain_values,
              gatescan::plain_output {
  static constexpr const char* name = "mine";
#ifdef GATESCAN_WRONG
  static constexpr auto reads = gatescan::readout::inclusive;
#else
  static constexpr auto reads = gatescan::readout::exclusive;
#endif
  static constexpr gatescan::recurrence_form form{
      .gate = gatescan::gate_span::entry, .reads = reads, .normaliser = true};

  template <class V>
  struct fields {
    using recurrence = mine;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> s{}, v{};
    gatescan::state_field<V, gatescan::rwkv4_state> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    using enum gatescan::axis;
    using enum gatescan::presence;
    f("s", gatescan::axes{batch, time, channel}, required, s.s...);
    f("v", gatescan::axes{batch, time, channel}, required, s.v...);
  }
  static auto log_weights(const auto& x, const auto& at) {
    using E = decltype(at(x.s));
    return gatescan::log_weights_and_bonus_of<E>{E(0), at(x.s), at(x.s)};
  }
  static void log_weights_adjoint(const auto&, const auto& d, const auto& at, const auto& g) {
    at.add(d.s, g.key);
  }
};

int main() {
  const float one = 1;
  float out = 0, d_v = 0;
  const gatescan::view<const float> operand{&one, {1, 1, 1}};
  const mine::inputs<float> in{.s = operand, .v = operand};
  gatescan::forward(gatescan::cpu{}, gatescan::scan{}, in, {.out = {&out, {1, 1, 1}}});
  gatescan::backward(gatescan::cpu{}, gatescan::scan{}, in, {.out = operand},
                     {.v = {&d_v, {1, 1, 1}}});
  return out == 1 && d_v == 1 ? 0 : 1;
}
