#pragma once
// HGRN: channels with gates given by their logarithms.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// h_t = exp(log_decay_t) h_{t-1} + x_t,   out_t = h_t
///
/// Shapes:  x, log_decay, out [B, L, H, D]; initial_state, final_state [n, H, D]. Operands may have
///          a head count that divides H.
/// Ranges:  log_decay is a natural logarithm, normally <= 0; 0 keeps, -inf is a hard reset. What
///          the paper puts in, (1 - exp(log_decay)) silu(i), is -expm1(log_decay) silu(i).
/// Errors:  shape_error before the first write.
/// Source:  Qin et al., arXiv 2311.04823, section 3.
struct hgrn : channel_state<hgrn>, plain_output {
  static constexpr const char* name = "hgrn";
  using adds_once = hgrn;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::entry};
  static constexpr bool unit_keys = true;  // K = 1 and q = k = 1

  template <class V>
  struct fields {
    using recurrence = hgrn;
    using format = format_of<V>;
    real_field<V> x{};
    gate_field<V> log_decay{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("x", axes{batch, time, head, value}, required, s.x...);
    f("log_decay", axes{batch, time, head, value}, required, s.log_decay...);
  }

  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    return value_of<decltype(at(x.x))>{at(x.x)};
  }
  GATESCAN_MEMBER auto gate(const auto& x, const auto& at, const auto&) {
    return exp(at(x.log_decay));
  }
  GATESCAN_MEMBER void gate_adjoint(const auto&, const auto& d, const auto& at, const auto&, auto&,
                                    auto a, auto d_gate) {
    at.add(d.log_decay, unless_zero(a, d_gate * a));
  }
  GATESCAN_MEMBER void values_adjoint(const auto&, const auto& d, const auto& at, const auto&,
                                      const auto& d_values) {
    at.add(d.x, d_values.v);
  }
};
static_assert(attention_form<hgrn> && differentiable<hgrn>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
