#pragma once
// Mamba-2 (SSD): one gate a head, made from the step size.

#include <limits>

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// S_t = exp(s_t A) S_{t-1} + B_t (s_t x_t)^T,   out_t = (S_t^T C_t + D x_t) * silu(z_t) if z is
/// given; s = dt + dt_bias, through softplus if asked for, clamped to [least_dt, most_dt].
///
/// Shapes:  x, z, out [B, L, H, P]; dt [B, L, H]; A, dt_bias [H]; B, C [B, L, G, N], G a divisor
///          of H; D [H, 1] or [H, P]; initial_state, final_state [n, H, N, P].
/// Ranges:  A normally < 0 and s >= 0 (least_dt is 0 unless given); s A = -inf is a hard reset.
///          Gradients are 0 where a limit holds.
/// Errors:  shape_error before the first write.
/// Source:  Dao & Gu, arXiv 2405.21060, section 6 and listing 1.
struct mamba2 : matrix_state<mamba2>, head_gate_of_step, skip_and_gated_output {
  static constexpr const char* name = "mamba2";
  using adds_once = mamba2;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::head};

  template <class V>
  struct fields {
    using recurrence = mamba2;
    using format = format_of<V>;
    real_field<V> x{};
    gate_field<V> dt{}, A{};
    real_field<V> B{}, C{}, D{}, z{};
    gate_field<V> dt_bias{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, bool> softplus{false};
    option_field<V, double> least_dt{0}, most_dt{std::numeric_limits<double>::infinity()};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("x", axes{batch, time, head, value}, required, s.x...);
    f("dt", axes{batch, time, head}, required, s.dt...);
    f("A", axes{head}, required, s.A...);
    f("B", axes{batch, time, head, key}, required, s.B...);
    f("C", axes{batch, time, head, key}, required, s.C...);
    f("D", axes{head, value_or_one}, optional, s.D...);
    f("z", axes{batch, time, head, value}, optional, s.z...);
    f("dt_bias", axes{head}, optional, s.dt_bias...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) {
    f("softplus", s.softplus...), f("least_dt", s.least_dt...), f("most_dt", s.most_dt...);
  }

  GATESCAN_MEMBER auto keys(const auto& x, const auto& at, const auto& t) {
    using E = decltype(at(x.C));
    return keys_of<E>{at(x.C), at(x.B), E(t.gate)};
  }
  static const auto& query(const auto& x) { return x.C; }
  static const auto& key(const auto& x) { return x.B; }
  GATESCAN_MEMBER auto values(const auto& x, const auto& at, const auto& t) {
    using E = decltype(at(x.x));
    return value_and_input_of<E>{E(t.step) * at(x.x), at(x.x)};
  }

  GATESCAN_MEMBER void keys_adjoint(const auto&, const auto& d, const auto& at, const auto&,
                                    auto& d_t, const auto& g) {
    at.add(d.C, g.q);
    at.add(d.B, g.k);
    accumulate(d_t.gate, g.gate);
  }
  GATESCAN_MEMBER void values_adjoint(const auto&, const auto& d, const auto& at, const auto& t,
                                      auto& d_t, const auto& w, const auto& d_w) {
    at.add(d.x, fma(d_w.v, t.step, d_w.u));
    accumulate(d_t.step, d_w.v * w.u);
  }
};
static_assert(attention_form<mamba2> && differentiable<mamba2>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
