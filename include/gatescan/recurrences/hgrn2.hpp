#pragma once
// HGRN2: gated linear attention whose keys are what its gates let go.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// S_t = diag(a_t) S_{t-1} + (1 - a_t) i_t^T,   out_t = S_t^T q_t,   a_t = b + (1 - b) sigmoid(f_t)
///
/// Shapes:  q, f [B, L, H, K]; i, out [B, L, H, V]; lower_bound b [H, K], missing: 0;
///          initial_state, final_state [n, H, K, V]. Operands may have a head count that divides H.
/// Ranges:  f is any number, before the sigmoid; b in [0, 1). f = -inf with b = 0 is a hard reset.
/// Errors:  shape_error before the first write.
/// Source:  Qin et al., arXiv 2404.07904, section 3.
struct hgrn2 : matrix_state<hgrn2>, plain_output {
  static constexpr const char* name = "hgrn2";
  using adds_once = hgrn2;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::key};

  template <class V>
  struct fields {
    using recurrence = hgrn2;
    using format = format_of<V>;
    real_field<V> q{};
    gate_field<V> f{};
    real_field<V> i{};
    gate_field<V> lower_bound{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("f", axes{batch, time, head, key}, required, s.f...);
    f("i", axes{batch, time, head, value}, required, s.i...);
    f("lower_bound", axes{head, key}, optional, s.lower_bound...);
  }

  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.f));
    const auto s = sigmoid_with_rest(at(x.f));
    if (!x.lower_bound.given) return keys_of<E>{at(x.q), s.rest, s.value};
    const E b = at(x.lower_bound), room = E(1) - b;
    return keys_of<E>{at(x.q), room * s.rest, fma(room, s.value, b)};
  }
  static const auto& query(const auto& x) { return x.q; }
  GATESCAN_MEMBER bool has_log_gate(const auto& x) { return !x.lower_bound.given; }
  GATESCAN_MEMBER auto log_gate(const auto& x, const auto& at) { return log_sigmoid(at(x.f)); }
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    return value_of<decltype(at(x.i))>{at(x.i)};
  }

  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& g) {
    using E = decltype(at(x.f));
    const auto s = sigmoid_with_rest(at(x.f));
    const E slope = s.value * s.rest;
    E d_sigmoid = g.gate - g.k;
    at.add(d.q, g.q);
    at.add(d.lower_bound, d_sigmoid * s.rest);
    if (x.lower_bound.given) d_sigmoid = d_sigmoid * (E(1) - at(x.lower_bound));
    at.add(d.f, unless_zero(slope, d_sigmoid * slope));
  }
  GATESCAN_MEMBER void values_adjoint(const auto&, const auto& d, const auto& at, const auto&,
                                      const auto& d_w) {
    at.add(d.i, d_w.v);
  }
};
static_assert(attention_form<hgrn2> && differentiable<hgrn2>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
