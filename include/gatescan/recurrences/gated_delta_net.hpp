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
///          with keys of length at most 1 keeps the state bounded. normalise: q and k are divided
///          by sqrt(their squared length + eps) first.
/// Errors:  shape_error before the first write.
/// Source:  Yang et al., arXiv 2412.06464, equation 10; Kimi Linear, arXiv 2510.26692.
struct gated_delta_net : matrix_state<gated_delta_net>, plain_output {
  static constexpr const char* name = "gated_delta_net";
  static constexpr recurrence_form form{.gate = gate_span::key, .moves = transition::corrected};

  template <class V>
  struct fields {
    using recurrence = gated_delta_net;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{}, beta{}, log_decay{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, double> scale{1}, eps{1e-6};
    option_field<V, bool> normalise{false};
  };
  GATESCAN_CALLS_ANY
  template <class F, class... S>
  GATESCAN_HD static constexpr void operands(F&& f, S&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("beta", axes{batch, time, head}, required, s.beta...);
    f("log_decay", axes{batch, time, head, key_or_one}, optional, s.log_decay...);
  }
  template <class F, class... S>
  static constexpr void options(F&& f, S&&... s) {
    f("scale", s.scale...), f("eps", s.eps...), f("normalise", s.normalise...);
  }

  /// What q and k are multiplied by.
  template <class E>
  struct factors {
    E q, k;
  };
  GATESCAN_MEMBER auto token(const auto& x, const auto& at) {
    using E = decltype(at(x.beta));
    const auto factor = [&](const auto& row) {
      if (!x.normalise) return E(1);
      const auto square = [&](const auto& here) { return here(row) * here(row); };
      return E(1) / sqrt(at.sum_over_keys(square) + E(x.eps));
    };
    return factors<E>{factor(x.q) * E(x.scale), factor(x.k)};
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at, const auto& t) {
    using E = decltype(at(x.q));
    const E k = at(x.k) * E(t.k), a = x.log_decay.given ? exp(at(x.log_decay)) : E(1);
    return corrected_keys_of<E>{at(x.q) * E(t.q), k, a, at(x.beta) * k};
  }
  GATESCAN_MEMBER auto values(const auto& x, const auto& at, const auto&) {
    return value_of<decltype(at(x.v))>{at(x.beta) * at(x.v)};
  }

  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& t,
                                    auto& d_t, const auto& g) {
    using E = decltype(at(x.q));
    const E d_k = fma(at(x.beta), g.p, g.k), q = at(x.q), k = at(x.k);
    at.add(d.q, g.q * E(t.q));
    at.add(d.k, d_k * E(t.k));
    at.add(d.beta, g.p * k * E(t.k));
    accumulate(d_t.q, g.q * q), accumulate(d_t.k, d_k * k);
    if (!x.log_decay.given) return;
    const E a = exp(at(x.log_decay));
    at.add(d.log_decay, unless_zero(a, g.gate * a));
  }
  GATESCAN_MEMBER void values_adjoint(const auto& x, const auto& d, const auto& at, const auto&,
                                      auto&, const auto&, const auto& d_w) {
    at.add(d.v, at(x.beta) * d_w.v);
    at.add(d.beta, d_w.v * at(x.v));
  }
  GATESCAN_MEMBER void token_adjoint(const auto& x, const auto& d, const auto& at, const auto& t,
                                     const auto& d_t) {
    if (!x.normalise) return;
    // (scale / |q|)' = -q scale / |q|^3
    const auto d_q =
        t.q * t.q * t.q * at.total(d_t.q) * decltype(t.q + t.q)(-1 / (x.scale * x.scale));
    const auto d_k = -t.k * t.k * t.k * at.total(d_t.k);
    at.for_each_key([&](const auto& here) {
      using E = decltype(here(x.q));
      here.add(d.q, here(x.q) * E(d_q));
      here.add(d.k, here(x.k) * E(d_k));
    });
  }
};
static_assert(attention_form<gated_delta_net> && differentiable<gated_delta_net>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
