#pragma once
// Gated linear attention; with a scalar or constant gate also simple GLA, Mamba-2's core, RetNet.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T,   out_t = scale * S_t^T q_t
///
/// Shapes:  q, k [B, L, H, K]; v, out [B, L, H, V]; log_decay [B, L, H, K], or [B, L, H, 1] for one
///          gate a head; initial_state, final_state [n, H, K, V] with n = B or the packed
///          sequences. q, k, v and log_decay may have a head count that divides H. Inclusive: token
///          t reads itself.
/// Ranges:  log_decay is a natural logarithm, normally <= 0; 0 keeps, -inf is a hard reset.
///          K, V >= 1.
/// Errors:  shape_error before the first write.
/// Source:  Yang et al., arXiv 2312.06635, equation 3; scalar gate: arXiv 2405.21060; constant
///          gate: arXiv 2307.08621.
struct gla : matrix_state<gla>, gate_of_log_decay, plain_values, plain_output {
  static constexpr const char* name = "gla";
  using adds_once = gla;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::key};

  template <class V>
  struct fields {
    using recurrence = gla;
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
    f("log_decay", axes{batch, time, head, key_or_one}, required, s.log_decay...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) { f("scale", s.scale...); }

  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using R = decltype(at(x.q));
    return keys_of<R>{at(x.q) * R(x.scale), at(x.k), exp(at(x.log_decay))};
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
};
static_assert(attention_form<gla> && differentiable<gla>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
