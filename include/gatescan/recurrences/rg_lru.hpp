#pragma once
// RG-LRU, the recurrent unit of Griffin: an input scaled by what its gate lets go.

#include <type_traits>

#include "../core/concepts.hpp"
#include "../core/once.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// log a_t = -8 softplus(Lambda) sigmoid(r_t),
/// h_t = a_t h_{t-1} + sqrt(1 - a_t^2) sigmoid(i_t) x_t,   out_t = h_t
///
/// Shapes:  x, r, i, out [B, L, H, D]; Lambda [H, D]; initial_state, final_state [n, H, D].
///          Operands may have a head count that divides H.
/// Ranges:  r, i and Lambda are any numbers, before their functions; a gate that underflows to 0
///          is a hard reset (Lambda = +inf: every one, if no r is -inf). The slope of the square
///          root of 1 - a^2 is infinite where a = 1: backward takes max_slope for what is larger,
///          1000 as RecurrentGemma does.
/// Errors:  shape_error before the first write.
/// Source:  De et al., arXiv 2402.19427, section 2.4 and appendix A. (RecurrentGemma's program has
///          1 for sqrt(1 - a^2) at a sequence's first token; the paper has not, nor has this.)
struct rg_lru : channel_state<rg_lru>, gate_beside_value, plain_output {
  static constexpr const char* name = "rg_lru";
  using adds_once = rg_lru;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::entry};
  static constexpr bool unit_keys = true;  // K = 1 and q = k = 1

  template <class V>
  struct fields {
    using recurrence = rg_lru;
    using format = format_of<V>;
    real_field<V> x{};
    gate_field<V> r{};
    real_field<V> i{};
    gate_field<V> Lambda{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, double> max_slope{1000};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("x", axes{batch, time, head, value}, required, s.x...);
    f("r", axes{batch, time, head, value}, required, s.r...);
    f("i", axes{batch, time, head, value}, required, s.i...);
    f("Lambda", axes{head, value}, required, s.Lambda...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) { f("max_slope", s.max_slope...); }

  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    using E = decltype(at(x.x));
    const E log_a = rate_of(at, x) * sigmoid(at(x.r));
    return value_and_gate_of<E>{input_scale(log_a) * sigmoid(at(x.i)) * at(x.x), exp(log_a)};
  }
  GATESCAN_MEMBER void values_adjoint(const auto& x, const auto& d, const auto& at, const auto& w,
                                      const auto& d_w) {
    using E = decltype(at(x.x));
    const auto i = sigmoid_with_rest(at(x.i)), r = sigmoid_with_rest(at(x.r));
    const E rate = rate_of(at, x), scale = input_scale(rate * r.value);
    const E d_scaled = d_w.v * scale, d_scale = d_w.v * i.value * at(x.x);
    at.add(d.x, d_scaled * i.value);
    at.add(d.i, d_scaled * at(x.x) * i.value * i.rest);
    // d sqrt(1 - a^2) = -a^2 d log a / sqrt(1 - a^2)
    const E slope = w.gate / larger(scale, E(0.5 / x.max_slope));
    const E d_log = unless_zero(w.gate, w.gate * (d_w.gate - slope * d_scale));
    at.add(d.r, unless_zero(w.gate, d_log * rate * r.value * r.rest));
    const E slope_of_rate = once<1>(at, x.Lambda, [](const auto& l) { return E(-8) * sigmoid(l); });
    at.add(d.Lambda, slope_of_rate * d_log * r.value);
  }

 private:
  GATESCAN_MEMBER auto rate_of(const auto& at, const auto& x) {
    return once<0>(at, x.Lambda, [](const auto& l) {
      return std::remove_cvref_t<decltype(l)>(-8) * softplus(l);
    });
  }
  template <class E>
  GATESCAN_MEMBER E input_scale(E log_a) {  // sqrt(1 - a^2)
    return sqrt(-expm1_of_negative(E(2) * log_a));
  }
};
static_assert(attention_form<rg_lru> && differentiable<rg_lru>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
