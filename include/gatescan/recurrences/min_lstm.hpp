#pragma once
// minLSTM: a long short-term memory whose gates and candidate do not see the state.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// s_t = (F s_{t-1} + I g(h_t)) / (F + I),   F = sigmoid(f_t), I = sigmoid(i_t),   out_t = s_t,
/// g(h) = h + 1/2 for h >= 0, else sigmoid(h)
///
/// Shapes:  f, i, h, out [B, L, H, D]; initial_state, final_state [n, H, D]. Operands may have a
///          head count that divides H.
/// Ranges:  f, i and h are any numbers, before their functions; f = -inf is a hard reset, and i is
///          not -inf there.
/// Errors:  shape_error before the first write.
/// Source:  Feng et al., arXiv 2410.01201, section 3.2 and appendix B.
struct min_lstm : channel_state<min_lstm>, gate_beside_value, plain_output {
  static constexpr const char* name = "min_lstm";
  using adds_once = min_lstm;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::entry};
  static constexpr bool unit_keys = true;  // K = 1 and q = k = 1

  template <class V>
  struct fields {
    using recurrence = min_lstm;
    using format = format_of<V>;
    gate_field<V> f{}, i{};
    real_field<V> h{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("f", axes{batch, time, head, value}, required, s.f...);
    f("i", axes{batch, time, head, value}, required, s.i...);
    f("h", axes{batch, time, head, value}, required, s.h...);
  }

  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    using E = decltype(at(x.f));
    const auto input = input_share(x, at);
    return value_and_gate_of<E>{input.value * candidate(at(x.h)).value, input.rest};
  }
  GATESCAN_MEMBER void values_adjoint(const auto& x, const auto& d, const auto& at, const auto&,
                                      const auto& d_w) {
    const auto input = input_share(x, at);
    const auto g = candidate(at(x.h));
    const auto slope = input.value * input.rest;
    const auto d_log = unless_zero(slope, (d_w.v * g.value - d_w.gate) * slope);  // of log(I / F)
    at.add(d.f, -(d_log * sigmoid(-at(x.f))));
    at.add(d.i, d_log * sigmoid(-at(x.i)));
    at.add(d.h, d_w.v * input.value * g.slope);
  }

 private:
  // I / (F + I), and F / (F + I)
  GATESCAN_MEMBER auto input_share(const auto& x, const auto& at) {
    return sigmoid_with_rest(log_sigmoid(at(x.i)) - log_sigmoid(at(x.f)));
  }
};
static_assert(attention_form<min_lstm> && differentiable<min_lstm>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
