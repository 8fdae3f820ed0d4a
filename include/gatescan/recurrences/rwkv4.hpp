#pragma once
// The time mixing of RWKV-4: an average of all values so far, a channel at a time.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Its state: num, den and m [n, D]; the numbers meant are num e^m and den e^m.
template <class T>
struct rwkv4_state {
  view<T> num{}, den{}, m{};

  static constexpr void parts(auto&& f, auto&&... s) {
    using enum axis;
    f(state_part::product, "num", axes{sequence, channel}, s.num...);
    f(state_part::normaliser, "den", axes{sequence, channel}, s.den...);
    f(state_part::log_scale, "m", axes{sequence, channel}, s.m...);
  }
};

/// num_t = exp(w) num_{t-1} + exp(k_t) v_t,   den_t = exp(w) den_{t-1} + exp(k_t),
/// out_t = (num_{t-1} + exp(u + k_t) v_t) / (den_{t-1} + exp(u + k_t)),
/// with num and den scaled by exp(-m_t), m_t = max(m_{t-1} + w, k_t).
///
/// Shapes:  k, v, out [B, L, D]; w, u [D]; initial_state, final_state: rwkv4_state.
/// Ranges:  w <= 0 is the logarithm of the decay: -inf is a hard reset at every token. Any k and u:
///          -inf in k writes nothing, and where nothing has been written out is 0. m begins as -inf
///          without an initial state.
/// Errors:  shape_error before the first write. m has no gradient: those of the others are at fixed
///          m, which is exact.
/// Cost:    two exponentials a channel and token one after another, one in chunks.
/// Source:  Peng et al., arXiv 2305.13048, section 3.1 (WKV); w is -exp of a model's parameter.
struct rwkv4 : average_state<rwkv4, rwkv4_state>, plain_values, plain_output, steady_weights {
  static constexpr const char* name = "rwkv4";
  using adds_once = rwkv4;  // gradients of an operand, at each place
  static constexpr recurrence_form form{
      .gate = gate_span::entry, .reads = readout::exclusive, .normaliser = true};

  template <class V>
  struct fields {
    using recurrence = rwkv4;
    using format = format_of<V>;
    real_field<V> k{}, v{};
    gate_field<V> w{}, u{};
    state_field<V, rwkv4_state> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("k", axes{batch, time, channel}, required, s.k...);
    f("v", axes{batch, time, channel}, required, s.v...);
    f("w", axes{channel}, required, s.w...);
    f("u", axes{channel}, required, s.u...);
  }

  GATESCAN_MEMBER auto log_weights(const auto& x, const auto& at) {
    return log_weights_and_bonus_of<decltype(at(x.k))>{at(x.w), at(x.k), at(x.u)};
  }
  GATESCAN_MEMBER void log_weights_adjoint(const auto&, const auto& d, const auto& at,
                                           const auto& g) {
    at.add(d.k, g.key);
    at.add(d.w, g.gate);
    at.add(d.u, g.bonus);
  }
};
static_assert(attention_form<rwkv4> && differentiable<rwkv4>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
