#pragma once
// RWKV-7: what a key of its own reads of the state is written back under another.

#include "../core/concepts.hpp"
#include "../core/result_types.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// S_t = diag(exp(w_t)) S_{t-1} + b_t (a_t^T S_{t-1}) + k_t v_t^T,   out_t = scale * S_t^T r_t
///
/// Shapes:  r, w, k, a, b [B, L, H, K]; v, out [B, L, H, V]; initial_state, final_state
///          [n, H, K, V]. Operands may have a head count that divides H.
/// Ranges:  w is a natural logarithm, normally <= 0; -inf is a hard reset of what was before, but
///          not of what a reads. b against a (RWKV-7's own: a = -kappa, b = kappa * rate, of
///          |kappa| = 1 and rates in [0, 1]) keeps the state bounded; others may grow it.
/// Errors:  shape_error before the first write.
/// Source:  Peng et al., arXiv 2503.14456.
struct rwkv7 : matrix_state<rwkv7>, plain_values, plain_output {
  static constexpr const char* name = "rwkv7";
  using adds_once = rwkv7;  // gradients of an operand, at each place
  static constexpr recurrence_form form{.gate = gate_span::key, .moves = transition::low_rank};

  template <class V>
  struct fields {
    using recurrence = rwkv7;
    using format = format_of<V>;
    real_field<V> r{};
    gate_field<V> w{};
    real_field<V> k{}, a{}, b{}, v{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
    option_field<V, double> scale{1};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("r", axes{batch, time, head, key}, required, s.r...);
    f("w", axes{batch, time, head, key}, required, s.w...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("a", axes{batch, time, head, key}, required, s.a...);
    f("b", axes{batch, time, head, key}, required, s.b...);
    f("v", axes{batch, time, head, value}, required, s.v...);
  }
  GATESCAN_SWITCHES options(auto&& f, auto&&... s) { f("scale", s.scale...); }

  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.r));
    return low_rank_keys_of<E>{at(x.r) * E(x.scale), at(x.k), exp(at(x.w)), -at(x.a), at(x.b)};
  }
  GATESCAN_MEMBER void keys_adjoint(const auto& x, const auto& d, const auto& at, const auto& g) {
    using E = decltype(at(x.w));
    at.add(d.r, g.q * E(x.scale));
    at.add(d.k, g.k);
    at.add(d.a, -g.p);
    at.add(d.b, g.b);
    decay_adjoint(at, x.w, d.w, g.gate);
  }
};
static_assert(attention_form<rwkv7> && differentiable<rwkv7>);

}  // namespace GATESCAN_ABI
}  // namespace gatescan
