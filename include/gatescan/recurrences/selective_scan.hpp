#pragma once
// Mamba's selective scan: a diagonal recurrence with N states a channel.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// h_t[d,n] = exp(s_t[d] A[d,n]) h_{t-1}[d,n] + s_t[d] B_t[n] u_t[d]
/// y_t[d]   = sum_n C_t[n] h_t[d,n] + D[d] u_t[d]
/// out      = y * silu(z) if z is given; s = delta + delta_bias, through softplus if asked for.
///
/// Shapes:  u, delta, z, out [B, L, D]; A [D, N]; B, C [B, L, G, N], or [B, L, N] for one group
///          (channel d belongs to group d / (D / G)); D, delta_bias [D]; initial_state, final_state
///          [n, D, N].
/// Ranges:  A normally < 0 and s > 0; s A = -inf is a hard reset.
/// Errors:  shape_error before the first write.
/// Source:  Gu & Dao, arXiv 2312.00752, algorithm 2 (zero-order hold for A, Euler for B).
struct selective_scan : grouped_channel_state<selective_scan>,
                        exponential_gate_of_A,
                        skip_and_gated_output {
  static constexpr const char* name = "selective_scan";
  using adds_once = selective_scan;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::entry};

  template <class V>
  struct fields {
    using recurrence = selective_scan;
    using format = format_of<V>;
    real_field<V> u{};
    gate_field<V> delta{}, A{};
    real_field<V> B{}, C{}, D{}, z{};
    gate_field<V> delta_bias{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, bool> softplus{false};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("u", axes{batch, time, channel}, required, s.u...);
    f("delta", axes{batch, time, channel}, required, s.delta...);
    f("A", axes{channel, key}, required, s.A...);
    f("B", axes{batch, time, group, key}, required, s.B...);
    f("C", axes{batch, time, group, key}, required, s.C...);
    f("D", axes{channel}, optional, s.D...);
    f("z", axes{batch, time, channel}, optional, s.z...);
    f("delta_bias", axes{channel}, optional, s.delta_bias...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) { f("softplus", s.softplus...); }

  /// The value side: v = step u, and what the gate and the skip term share with it.
  template <class E>
  struct channel_values {
    E v, step, u, log2e_step;
  };
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    using E = decltype(at(x.u));
    const E step = step_size(at, x.delta, x.delta_bias, x.softplus), u = at(x.u);
    return channel_values<E>{step * u, step, u, step * E(log2_e)};
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.C));
    return keys_of<E>{at(x.C), at(x.B), E(1)};
  }

  GATESCAN_MEMBER void keys_adjoint(const auto&, const auto& d, const auto& at, const auto& g) {
    at.add(d.C, g.q);
    at.add(d.B, g.k);
  }
  GATESCAN_MEMBER void values_adjoint(const auto& x, const auto& d, const auto& at, const auto& w,
                                      const auto& d_w) {
    at.add(d.u, fma(d_w.v, w.step, d_w.u));
    step_size_adjoint(at, x.delta, x.delta_bias, x.softplus, d.delta, d.delta_bias,
                      fma(d_w.v, w.u, d_w.step));
  }
};
static_assert(attention_form<selective_scan> && differentiable<selective_scan>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
