#pragma once
// Linear attention: keys and values are summed, nothing is forgotten.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Its state: S [n, H, K, V] and, where it is normalised, n [n, H, K].
template <class T>
struct linear_attention_state {
  view<T> S{}, n{};

  static constexpr void parts(auto&& f, auto&&... s) {
    using enum axis;
    f(state_part::product, "S", axes{sequence, head, key, value}, s.S...);
    f(state_part::normaliser, "n", axes{sequence, head, key}, s.n...);
  }
};

/// S_t = S_{t-1} + k_t v_t^T,   out_t = scale * S_t^T q_t,
/// with `normalise` also n_t = n_{t-1} + k_t,   out_t = scale * S_t^T q_t / (scale * q_t n_t + eps)
///
/// Shapes:  q, k [B, L, H, K]; v, out [B, L, H, V]; initial_state, final_state:
///          linear_attention_state. q, k, v may have a head count that divides H. What a feature
///          map makes of q and k is given as q and k.
/// Ranges:  normalised, q and k are such that q_t n_t > 0: positive features.
/// Errors:  shape_error before the first write.
/// Source:  Katharopoulos et al., arXiv 2006.16236, equations 9, 16 and 17.
struct linear_attention : matrix_state<linear_attention, linear_attention_state>,
                          plain_values,
                          plain_output {
  static constexpr const char* name = "linear_attention";
  using adds_once = linear_attention;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::head, .normaliser = true};

  template <class V>
  struct fields {
    using recurrence = linear_attention;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{};
    state_field<V, linear_attention_state> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, double> scale{1}, eps{1e-10};
    option_field<V, bool> normalise{false};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) {
    f("scale", s.scale...), f("eps", s.eps...), f("normalise", s.normalise...);
  }

  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.q));
    return keys_of<E>{at(x.q) * E(x.scale), at(x.k), E(1)};
  }
  static const auto& query(const auto& x) { return x.q; }
  static const auto& key(const auto& x) { return x.k; }
  GATESCAN_MEMBER bool has_log_gate(const auto&) { return true; }
  GATESCAN_MEMBER auto log_gate(const auto& x, const auto& at) { return decltype(at(x.q))(0); }
  GATESCAN_MEMBER bool has_normaliser(const auto& x) { return x.normalise; }
  template <class E>
  GATESCAN_MEMBER E denominator(const auto& x, const auto&, E n) {
    return n + E(x.eps);
  }

  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& g) {
    at.add(d.q, g.q * decltype(at(x.q))(x.scale));
    at.add(d.k, g.k);
  }
  GATESCAN_MEMBER auto without_gate(auto d) { return d; }
  template <class E>
  GATESCAN_MEMBER E denominator_adjoint(const auto&, const auto&, E, E d) {
    return d;
  }
};
static_assert(attention_form<linear_attention> && differentiable<linear_attention>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
