#pragma once
// Retention: gated linear attention with one constant gate a head.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// S_t = exp(log_decay) S_{t-1} + k_t v_t^T,   out_t = scale * S_t^T q_t
///
/// Shapes:  q, k [B, L, H, K]; v, out [B, L, H, V]; log_decay [H]; initial_state, final_state
///          [n, H, K, V]. Operands may have a head count that divides H.
/// Ranges:  log_decay is a natural logarithm, normally <= 0; RetNet's head h has log(1 - 2^(-5-h)).
///          0 keeps, -inf is a hard reset at every token.
/// Errors:  shape_error before the first write.
/// Source:  Sun et al., arXiv 2307.08621, equation 5; Lightning Attention, arXiv 2401.04658.
struct retention : matrix_state<retention>, plain_values, plain_output {
  static constexpr const char* name = "retention";
  using adds_once = retention;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::head};

  template <class V>
  struct fields {
    using recurrence = retention;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{};
    gate_field<V> log_decay{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, double> scale{1};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("log_decay", axes{head}, required, s.log_decay...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) { f("scale", s.scale...); }

  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.q));
    return keys_of<E>{at(x.q) * E(x.scale), at(x.k), exp(at(x.log_decay))};
  }
  static const auto& query(const auto& x) { return x.q; }
  static const auto& key(const auto& x) { return x.k; }
  GATESCAN_MEMBER bool has_log_gate(const auto&) { return true; }
  GATESCAN_MEMBER auto log_gate(const auto& x, const auto& at) { return at(x.log_decay); }
  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& g) {
    at.add(d.q, g.q * decltype(at(x.q))(x.scale));
    at.add(d.k, g.k);
    decay_adjoint(at, x.log_decay, d.log_decay, g.gate);
  }
  GATESCAN_MEMBER auto without_gate(auto d) {
    d.log_decay = {};
    return d;
  }
};
static_assert(attention_form<retention> && differentiable<retention>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
