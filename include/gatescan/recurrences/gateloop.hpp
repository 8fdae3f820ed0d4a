#pragma once
// GateLoop: data-controlled complex gates.

#include "../core/concepts.hpp"
#include "../core/error.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// S_t = diag(a_t) S_{t-1} + k_t v_t^T,   out_t = Re(S_t^T q_t),
/// a_t = exp(log_magnitude_t + i phase_t), or `a` itself.
///
/// Shapes:  q, k [B, L, H, K], real or complex; v, out [B, L, H, V] real; log_magnitude, phase
///          [B, L, H, K] real (phase missing: 0), or a [B, L, H, K] complex in their place;
///          initial_state, final_state [n, H, K, V] complex. Operands may have a head count that
///          divides H. K = V = 1 is the paper's max-heads form.
/// Ranges:  log_magnitude is a natural logarithm, normally <= 0, -inf is a hard reset; phase in
///          radians. A linear gate of exactly 0 is a hard reset, and its gradient is right there.
/// Errors:  shape_error before the first write.
/// Source:  Katsch, arXiv 2311.01927, equations 4 and 5.
struct gateloop : matrix_state<gateloop, complex_view>, plain_values, plain_output {
  static constexpr const char* name = "gateloop";
  using adds_once = gateloop;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::key, .number = numbers::complex};
  using runs_as_channels = gateloop;  // with K = V = 1: heads beside heads

  template <class V>
  struct fields {
    using recurrence = gateloop;
    using format = format_of<V>;
    complex_field<V> q{}, k{};
    real_field<V> v{};
    gate_field<V> log_magnitude{}, phase{};
    complex_gate_field<V> a{};
    complex_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("log_magnitude", axes{batch, time, head, key}, optional, s.log_magnitude...);
    f("phase", axes{batch, time, head, key}, optional, s.phase...);
    f("a", axes{batch, time, head, key}, optional, s.a...);
  }
  static void check(const auto& in) {
    if (in.a.given() == in.log_magnitude.given())
      fail<shape_error>("gateloop gates: expected either a, or log_magnitude and phase, got " +
                        std::string(in.a.given() ? "both" : "neither"));
    if (in.a.given() && in.phase.given())
      fail<shape_error>("phase: expected with log_magnitude only, got it beside a");
  }

  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using E = decltype(at.element(x.q));
    return keys_of<E>{at.element(x.q), at.element(x.k), gate(x, at)};
  }
  GATESCAN_MEMBER bool has_log_gate(const auto& x) { return !x.a.given; }
  GATESCAN_MEMBER auto log_gate(const auto& x, const auto& at) {
    using R = decltype(at(x.phase));
    return cplx<R>{at(x.log_magnitude), x.phase.given ? at(x.phase) : R(0)};
  }
  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& g) {
    at.add(d.q, g.q);
    at.add(d.k, g.k);
    if (x.a.given) return at.add(d.a, g.gate);
    const auto a = gate(x, at);  // d a = a (d log_magnitude + i d phase)
    const auto z = unless_zero(a, g.gate * conj(a));
    at.add(d.log_magnitude, z.re);
    at.add(d.phase, z.im);
  }

 private:
  GATESCAN_MEMBER auto gate(const auto& x, const auto& at) {
    using E = decltype(at.element(x.a));
    if (x.a.given) return at.element(x.a);
    if (!x.phase.given) return E{exp(at(x.log_magnitude)), decltype(at(x.phase))(0)};
    return exp(log_gate(x, at));
  }
};
static_assert(attention_form<gateloop> && differentiable<gateloop>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
