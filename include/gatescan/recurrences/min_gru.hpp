#pragma once
// minGRU: a gated recurrent unit whose gate and candidate do not see the state.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// s_t = sigmoid(-z_t) s_{t-1} + sigmoid(z_t) g(h_t),   out_t = s_t,
/// g(h) = h + 1/2 for h >= 0, else sigmoid(h)
///
/// Shapes:  z, h, out [B, L, H, D]; initial_state, final_state [n, H, D]. Operands may have a head
///          count that divides H.
/// Ranges:  z and h are any numbers, before their functions; z = +inf is a hard reset.
/// Errors:  shape_error before the first write.
/// Source:  Feng et al., arXiv 2410.01201, section 3.1 and appendix B.
struct min_gru : channel_state<min_gru>, gate_beside_value, plain_output {
  static constexpr const char* name = "min_gru";
  using adds_once = min_gru;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::entry};
  static constexpr bool unit_keys = true;  // K = 1 and q = k = 1

  template <class V>
  struct fields {
    using recurrence = min_gru;
    using format = format_of<V>;
    gate_field<V> z{};
    real_field<V> h{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("z", axes{batch, time, head, value}, required, s.z...);
    f("h", axes{batch, time, head, value}, required, s.h...);
  }

  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    using E = decltype(at(x.z));
    const auto z = sigmoid_with_rest(at(x.z));
    return value_and_gate_of<E>{z.value * candidate(at(x.h)).value, z.rest};
  }
  GATESCAN_MEMBER void values_adjoint(const auto& x, const auto& d, const auto& at, const auto&,
                                      const auto& d_w) {
    const auto z = sigmoid_with_rest(at(x.z));
    const auto g = candidate(at(x.h));
    const auto slope = z.value * z.rest;
    at.add(d.z, unless_zero(slope, (d_w.v * g.value - d_w.gate) * slope));
    at.add(d.h, d_w.v * z.value * g.slope);
  }
};
static_assert(attention_form<min_gru> && differentiable<min_gru>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
