#pragma once
// The gated delta rule: what a key already stores is taken away before its value is written.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// S' = diag(exp(log_decay_t)) S_{t-1},   S_t = S' + beta_t k_t (v_t - S'^T k_t)^T,
/// out_t = scale * S_t^T q_t
///
/// Shapes:  q, k [B, L, H, K]; v, out [B, L, H, V]; beta [B, L, H]; log_decay [B, L, H, K] (KDA),
///          or [B, L, H, 1] (Gated DeltaNet), missing: 0 (DeltaNet); initial_state, final_state
///          [n, H, K, V]. Operands may have a head count that divides H.
/// Ranges:  log_decay is a natural logarithm, normally <= 0; -inf is a hard reset. beta in [0, 2]
///          with keys of length at most 1 makes no state longer but by what it writes (at beta = 2
///          that adds up). normalise: q and k are divided by sqrt(their squared length + eps)
///          first.
/// Errors:  shape_error before the first write.
/// Source:  Yang et al., arXiv 2412.06464, equation 10; Kimi Linear, arXiv 2510.26692.
struct gated_delta_net : matrix_state<gated_delta_net>, gate_of_log_decay, plain_output {
  static constexpr const char* name = "gated_delta_net";
  static constexpr recurrence_form form{.gate = gate_span::key, .moves = transition::corrected};

  template <class V>
  struct fields {
    using recurrence = gated_delta_net;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{};
    gate_field<V> beta{}, log_decay{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, double> scale{1}, eps{1e-6};
    option_field<V, bool> normalise{false};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("beta", axes{batch, time, head}, required, s.beta...);
    f("log_decay", axes{batch, time, head, key_or_one}, optional, s.log_decay...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) {
    f("scale", s.scale...), f("eps", s.eps...), f("normalise", s.normalise...);
  }

  // The token stage: what q and k are multiplied by.
  GATESCAN_MEMBER auto token_stage(const auto& x, const auto& at) {
    return query_and_key_of<decltype(at(x.q))>{inverse_length(at, x.q, x.eps, x.normalise),
                                               inverse_length(at, x.k, x.eps, x.normalise)};
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at, const auto& t) {
    using E = decltype(at(x.q));
    const E q = at(x.q) * E(t.q), k = at(x.k) * E(t.k);
    return corrected_keys_of<E>{q * E(x.scale), k, decay(at, x.log_decay), at(x.beta) * k};
  }
  GATESCAN_MEMBER auto values(const auto& x, const auto& at, const auto&) {
    return value_of<decltype(at(x.v))>{at(x.beta) * at(x.v)};
  }

  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& t,
                                    auto& d_t, const auto& g) {
    using E = decltype(at(x.q));
    const E d_q = g.q * E(x.scale), d_k = fma(at(x.beta), g.p, g.k), k = at(x.k);
    at.add(d.q, d_q * E(t.q)), at.add(d.k, d_k * E(t.k));
    at.add(d.beta, g.p * k * E(t.k));
    accumulate(d_t.q, d_q * at(x.q)), accumulate(d_t.k, d_k * k);
    decay_adjoint(at, x.log_decay, d.log_decay, g.gate);
  }
  GATESCAN_MEMBER void values_adjoint(const auto& x, const auto& d, const auto& at, const auto&,
                                      auto&, const auto&, const auto& d_w) {
    at.add(d.v, at(x.beta) * d_w.v);
    at.add(d.beta, d_w.v * at(x.v));
  }
  GATESCAN_MEMBER void token_stage_adjoint(const auto& x, const auto& d, const auto& at,
                                           const auto& t, const auto& d_t) {
    inverse_length_adjoint(at, x.q, d.q, t.q, d_t.q, x.normalise);
    inverse_length_adjoint(at, x.k, d.k, t.k, d_t.k, x.normalise);
  }
};
static_assert(attention_form<gated_delta_net> && differentiable<gated_delta_net>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
