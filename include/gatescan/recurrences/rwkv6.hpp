#pragma once
// RWKV-6: a query reads the state before its own token; RWKV-5 with w of stride 0.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// out_t = scale * (S_{t-1} + diag(u) k_t v_t^T)^T r_t,   S_t = diag(exp(w_t)) S_{t-1} + k_t v_t^T
///
/// Shapes:  r, k, w [B, L, H, K]; v, out [B, L, H, V]; u [H, K]; initial_state, final_state
///          [n, H, K, V]. Operands may have a head count that divides H.
/// Ranges:  w is a natural logarithm, normally <= 0; 0 keeps, -inf is a hard reset.
/// Errors:  shape_error before the first write.
/// Source:  Peng et al., arXiv 2404.05892, equations 16 to 19.
struct rwkv6 : matrix_state<rwkv6>, plain_values, plain_output {
  static constexpr const char* name = "rwkv6";
  using adds_once = rwkv6;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::key, .reads = readout::exclusive};

  template <class V>
  struct fields {
    using recurrence = rwkv6;
    using format = format_of<V>;
    real_field<V> r{}, k{};
    gate_field<V> w{};
    real_field<V> v{}, u{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, double> scale{1};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("r", axes{batch, time, head, key}, required, s.r...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("w", axes{batch, time, head, key}, required, s.w...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("u", axes{head, key}, required, s.u...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) { f("scale", s.scale...); }

  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.r));
    const E k = at(x.k);
    return keys_and_own_of<E>{at(x.r) * E(x.scale), k, exp(at(x.w)), at(x.u) * k};
  }
  GATESCAN_MEMBER bool has_log_gate(const auto&) { return true; }
  GATESCAN_MEMBER auto log_gate(const auto& x, const auto& at) { return at(x.w); }
  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& g) {
    using E = decltype(at(x.w));
    at.add(d.r, g.q * E(x.scale));
    at.add(d.k, fma(at(x.u), g.own, g.k));
    at.add(d.u, at(x.k) * g.own);
    decay_adjoint(at, x.w, d.w, g.gate);
  }
};
static_assert(attention_form<rwkv6> && differentiable<rwkv6>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
