#pragma once
// Attention as a recurrence: the softmax average of all values so far, by scores that do not depend
// on the token that reads.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Its state: num [n, H, V], den and m [n, H]; the numbers meant are num e^m and den e^m.
template <class T>
struct aaren_state {
  view<T> num{}, den{}, m{};

  static constexpr void parts(auto&& f, auto&&... s) {
    using enum axis;
    f(state_part::product, "num", axes{sequence, head, value}, s.num...);
    f(state_part::normaliser, "den", axes{sequence, head}, s.den...);
    f(state_part::log_scale, "m", axes{sequence, head}, s.m...);
  }
};

/// m_t = max(m_{t-1}, s_t),   num_t = exp(m_{t-1} - m_t) num_{t-1} + exp(s_t - m_t) v_t,
/// den_t = exp(m_{t-1} - m_t) den_{t-1} + exp(s_t - m_t),   out_t = num_t / den_t,
/// which is sum_j exp(s_j) v_j / sum_j exp(s_j) over all tokens j <= t.
///
/// Shapes:  s [B, L, H], the scores of a query that is a parameter; v, out [B, L, H, V];
///          initial_state, final_state: aaren_state. Operands may have a head count that divides H.
/// Ranges:  any s: -inf writes nothing, and where nothing has been written out is 0. m begins as
///          -inf without an initial state.
/// Errors:  shape_error before the first write. m has no gradient: those of the others are at fixed
///          m, which is exact.
/// Source:  Feng et al., arXiv 2405.13956, section 3.2.
struct aaren : matrix_state<aaren, aaren_state>, log_gate_of_weights, plain_values, plain_output {
  static constexpr const char* name = "aaren";
  static constexpr recurrence_form form{.gate = gate_span::head, .normaliser = true};
  static constexpr index_t states = 1;  // one key

  template <class V>
  struct fields {
    using recurrence = aaren;
    using format = format_of<V>;
    gate_field<V> s{};
    real_field<V> v{};
    state_field<V, aaren_state> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("s", axes{batch, time, head}, required, s.s...);
    f("v", axes{batch, time, head, value}, required, s.v...);
  }

  GATESCAN_MEMBER auto log_weights(const auto& x, const auto& at) {
    using E = decltype(at(x.s));
    return log_weights_of<E>{E(0), at(x.s)};
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at, const auto& t) {
    using E = decltype(at(x.s));
    return keys_of<E>{E(1), E(t.key), E(t.gate)};
  }
  template <class E>
  GATESCAN_MEMBER E denominator(const auto&, const auto&, E n) {
    return select_negative(-n, n, E(__builtin_huge_val()));
  }

  GATESCAN_MEMBER void log_weights_adjoint(const auto&, const auto& d, const auto& at,
                                           const auto& g) {
    at.add(d.s, g.key);
  }
  GATESCAN_MEMBER void keys_adjoint(const auto&, const auto&, const auto&, const auto&, auto& d_t,
                                    const auto& g) {
    accumulate(d_t.key, g.k);
    accumulate(d_t.gate, g.gate);
  }
  template <class E>
  GATESCAN_MEMBER E denominator_adjoint(const auto&, const auto&, E, E d) {
    return d;
  }
};
static_assert(attention_form<aaren> && differentiable<aaren>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
