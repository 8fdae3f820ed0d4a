#pragma once
// The matrix memory of xLSTM: exponential input gates, in log space.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Its state: C [n, H, K, V], n [n, H, K] and m [n, H]; the numbers meant are C e^m and n e^m.
template <class T>
struct mlstm_state {
  view<T> C{}, n{}, m{};

  static constexpr void parts(auto&& f, auto&&... s) {
    using enum axis;
    f(state_part::product, "C", axes{sequence, head, key, value}, s.C...);
    f(state_part::normaliser, "n", axes{sequence, head, key}, s.n...);
    f(state_part::log_scale, "m", axes{sequence, head}, s.m...);
  }
};

/// m_t = max(log sigmoid(f_t) + m_{t-1}, i_t),   w_t = exp(i_t - m_t),
/// a_t = exp((m_{t-1} - m_t) + log sigmoid(f_t)),
/// C_t = a_t C_{t-1} + w_t k_t v_t^T,   n_t = a_t n_{t-1} + w_t k_t,
/// out_t = scale * C_t^T q_t / (max(|scale * q_t n_t|, exp(-m_t)) + eps)
///
/// Shapes:  q, k [B, L, H, K]; v, out [B, L, H, V]; i, f [B, L, H], before exp and sigmoid;
///          initial_state, final_state: mlstm_state. Operands may have a head count that divides H.
/// Ranges:  any i and f: -inf in i writes nothing, -inf in f is a hard reset. m begins as -inf
///          without an initial state. eps counts in units of exp(m).
/// Errors:  shape_error before the first write. m has no gradient: those of the others are at fixed
///          m, which is exact but for eps.
/// Source:  Beck et al., arXiv 2405.04517, equations 19 to 27.
struct mlstm : matrix_state<mlstm, mlstm_state>, log_gate_of_weights, plain_values, plain_output {
  static constexpr const char* name = "mlstm";
  using adds_once = mlstm;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::head, .normaliser = true};

  template <class V>
  struct fields {
    using recurrence = mlstm;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{};
    gate_field<V> i{}, f{};
    state_field<V, mlstm_state> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, double> scale{1}, eps{1e-6};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("i", axes{batch, time, head}, required, s.i...);
    f("f", axes{batch, time, head}, required, s.f...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) { f("scale", s.scale...), f("eps", s.eps...); }

  GATESCAN_MEMBER auto log_weights(const auto& x, const auto& at) {
    return log_weights_of<decltype(at(x.i))>{log_sigmoid(at(x.f)), at(x.i)};
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at, const auto& t) {
    using E = decltype(at(x.q));
    return keys_of<E>{at(x.q) * E(x.scale), at(x.k) * E(t.key), E(t.gate)};
  }
  static const auto& query(const auto& x) { return x.q; }
  GATESCAN_MEMBER auto denominator(const auto& x, const auto&, const auto& t, auto n) {
    return larger(abs(n), exp(-t.log_scale)) + decltype(n)(x.eps);
  }

  GATESCAN_MEMBER void log_weights_adjoint(const auto& x, const auto& d, const auto& at,
                                           const auto& g) {
    at.add(d.i, g.key), at.add(d.f, g.gate * sigmoid(-at(x.f)));
  }
  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& t,
                                    auto& d_t, const auto& g) {
    at.add(d.q, g.q * decltype(g.q)(x.scale)), at.add(d.k, g.k * decltype(g.k)(t.key));
    accumulate(d_t.key, g.k * at(x.k)), accumulate(d_t.gate, g.gate);
  }
  GATESCAN_MEMBER auto denominator_adjoint(const auto&, const auto&, const auto& t, auto n,
                                           auto d) {
    return select_negative(abs(n) - exp(-t.log_scale), decltype(d)(0), select_negative(n, -d, d));
  }
};
static_assert(attention_form<mlstm> && differentiable<mlstm>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
