#pragma once
// The elementwise linear recurrence: HGRN, minGRU, LRU and S5 cores, GateLoop's max-heads form.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// h_t = a_t h_{t-1} + x_t,   out_t = h_t.
///
/// Shapes:  a, x, out [B, L, H, D]; initial_state, final_state [n, H, D]. All real, or all results
///          complex when a, x or initial_state has an imaginary part. a and x may have a head count
///          that divides H.
/// Ranges:  any a; models use |a| <= 1. a = 0 is a hard reset, and its gradient is right there.
/// Errors:  shape_error before the first write.
/// Source:  Katsch, arXiv 2311.01927, section 3; Martin & Cundy, arXiv 1709.04057.
struct elementwise : channel_state<elementwise, complex_view>, plain_output {
  static constexpr const char* name = "elementwise";
  using adds_once = elementwise;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::entry, .number = numbers::either};
  static constexpr bool unit_keys = true;  // K = 1 and q = k = 1

  template <class T>
  struct problem {
    using recurrence = elementwise;
    using format = T;
    index_t batch = 1, time = 0, heads = 1, channels = 1;
    bool complex = false;
    index_t sequences = 0;

    sizes size() const { return {sequences ? sequences : batch, batch, time, heads, 1, channels}; }
  };
  template <class V>
  struct fields {
    using recurrence = elementwise;
    using format = format_of<V>;
    complex_gate_field<V> a{};
    complex_field<V> x{};
    complex_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("a", axes{batch, time, head, value}, required, s.a...);
    f("x", axes{batch, time, head, value}, required, s.x...);
  }

  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    return value_of<decltype(at.element(x.x))>{at.element(x.x)};
  }
  GATESCAN_MEMBER auto gate(const auto& x, const auto& at, const auto&) { return at.element(x.a); }
  GATESCAN_MEMBER void gate_adjoint(const auto&, const auto& d, const auto& at, const auto&, auto&,
                                    auto, auto d_gate) {
    at.add(d.a, d_gate);
  }
  GATESCAN_MEMBER void values_adjoint(const auto&, const auto& d, const auto& at, const auto&,
                                      const auto& d_values) {
    at.add(d.x, d_values.v);
  }
};
static_assert(attention_form<elementwise> && differentiable<elementwise>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
