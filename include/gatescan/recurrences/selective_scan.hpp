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
struct selective_scan : result_types<selective_scan> {
  static constexpr const char* name = "selective_scan";
  using adds_once = selective_scan;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::entry};
  static constexpr axes out_axes{axis::batch, axis::time, axis::channel};
  static constexpr axes state_axes{axis::sequence, axis::channel, axis::key};

  template <class T>
  struct problem {
    using recurrence = selective_scan;
    using format = T;
    index_t batch = 1, time = 0, channels = 1, states = 1, groups = 1;
    index_t sequences = 0;

    sizes size() const {
      return {sequences ? sequences : batch, batch, time, groups, states,
              groups ? channels / groups : 0};
    }
  };
  template <class V>
  struct fields {
    using recurrence = selective_scan;
    using format = format_of<V>;
    real_field<V> u{}, delta{}, A{}, B{}, C{}, D{}, z{}, delta_bias{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, bool> softplus{false};
  };
  GATESCAN_CALLS_ANY
  template <class F, class... S>
  GATESCAN_HD static constexpr void operands(F&& f, S&&... s) {
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
  template <class F, class... S>
  static constexpr void options(F&& f, S&&... s) {
    f("softplus", s.softplus...);
  }

  /// The value side: v = step u, and what the gate and the skip term share with it.
  template <class R>
  struct channel_values {
    R v, step, u, log2e_step;
  };

  template <class X, class At>
  GATESCAN_HD GATESCAN_INLINE static auto values(const X& x, const At& at) {
    using R = decltype(at(x.u));
    R step = raw_step(x, at);
    if (x.softplus) step = gatescan::softplus(step);
    const R u = at(x.u);
    return channel_values<R>{step * u, step, u, step * R(log2_e)};
  }
  template <class X, class At>
  GATESCAN_HD GATESCAN_INLINE static auto keys(const X& x, const At& at) {
    using R = decltype(at(x.C));
    return keys_of<R>{at(x.C), at(x.B), R(1)};
  }
  template <class X, class At, class R>
  GATESCAN_HD GATESCAN_INLINE static R gate(const X& x, const At& at, const channel_values<R>& w) {
    return exp_of_product(w.step, w.log2e_step, at(x.A));
  }
  template <class R>
  GATESCAN_HD GATESCAN_INLINE static exponent_step<R> gate_step(const channel_values<R>& w) {
    return {w.step, w.log2e_step};
  }
  template <class X, class At>
  GATESCAN_HD GATESCAN_INLINE static auto gate_factor(const X& x, const At& at) {
    return at(x.A);
  }
  template <class X, class At, class R>
  GATESCAN_HD GATESCAN_INLINE static R output(const X& x, const At& at, const channel_values<R>& w,
                                              R o) {
    if (x.D.given) o = fma(at(x.D), w.u, o);
    if (x.z.given) o = o * silu(at(x.z));
    return o;
  }

  template <class X, class D, class At, class R>
  GATESCAN_HD GATESCAN_INLINE static R output_adjoint(const X& x, const D& d, const At& at,
                                                      const channel_values<R>& w,
                                                      channel_values<R>& d_w, R o, R d_out) {
    if (x.z.given) {
      const auto gate = silu_with_slope(at(x.z));
      R y = o;
      if (x.D.given) y = fma(at(x.D), w.u, o);
      at.add(d.z, d_out * y * gate.slope);
      d_out = d_out * gate.value;
    }
    if (x.D.given) {
      at.add(d.D, d_out * w.u);
      d_w.u = d_w.u + d_out * at(x.D);
    }
    return d_out;
  }
  template <class X, class D, class At, class R>
  GATESCAN_HD GATESCAN_INLINE static void gate_adjoint(const X& x, const D& d, const At& at,
                                                       const channel_values<R>& w,
                                                       channel_values<R>& d_w, R a, R d_gate) {
    const R d_exponent = unless_zero(a, d_gate * a);
    d_w.step = fma(d_exponent, unless_zero(a, at(x.A)), d_w.step);
    at.add(d.A, d_exponent * w.step);
  }
  template <class R>
  GATESCAN_HD GATESCAN_INLINE static void gate_step_adjoint(channel_values<R>& d_w, R d_step) {
    d_w.step = d_w.step + d_step;
  }
  template <class D, class At, class R>
  GATESCAN_HD GATESCAN_INLINE static void gate_factor_adjoint(const D& d, const At& at,
                                                              R d_factor) {
    at.add(d.A, d_factor);
  }
  template <class X, class D, class At, class R>
  GATESCAN_HD GATESCAN_INLINE static void keys_adjoint(const X&, const D& d, const At& at,
                                                       const keys_of<R>& g) {
    at.add(d.C, g.q);
    at.add(d.B, g.k);
  }
  template <class X, class D, class At, class R>
  GATESCAN_HD GATESCAN_INLINE static void values_adjoint(const X& x, const D& d, const At& at,
                                                         const channel_values<R>& w,
                                                         const channel_values<R>& d_w) {
    at.add(d.u, fma(d_w.v, w.step, d_w.u));
    R d_raw = fma(d_w.v, w.u, d_w.step);
    if (x.softplus) d_raw = d_raw * sigmoid(raw_step(x, at));
    at.add(d.delta, d_raw);
    at.add(d.delta_bias, d_raw);
  }

 private:
  template <class X, class At>
  GATESCAN_HD GATESCAN_INLINE static auto raw_step(const X& x, const At& at) {
    auto step = at(x.delta);
    if (x.delta_bias.given) step = step + at(x.delta_bias);
    return step;
  }
};
static_assert(attention_form<selective_scan> && differentiable<selective_scan>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
