#pragma once
// A register of channels' averages, with weights that are exponentials of any size: num e^m and
// den e^m are the sums of what was written and of its weights, whose logarithms are given.
//
//   m' = max(m + gate, key)     s' = e^((m - m') + gate) s + e^(key - m') (v, 1)     s = (num, den)
//   o = (num e^m + v e^(key + bonus)) / (den e^m + e^(key + bonus))
//
// m is a number and, but in recurrent mode, what rounding took of it: then it is the same however
// time is cut. In recurrent mode it is what a caller can hand on from call to call. Gradients are
// those at fixed m, which are exact: o does not depend on it.

#include <limits>

#include "../../../../core/compensated.hpp"
#include "../../../../core/gated_product.hpp"
#include "../../simd/selects.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// m is what it is to its last bit, m + low; low is 0 if it RoundsM.
template <class C, bool RoundsM>
struct channel_average {
  using P = simd::pack<C>;
  /// m where nothing has been written: -inf would make NaN of a difference.
  static constexpr C never = std::numeric_limits<C>::lowest();

  P num, den, m, low;

  /// e^x of x <= 0, a weight beside one of 1: 0 where it would be no normal number, which takes
  /// four times as long.
  static GATESCAN_INLINE P smaller_weight(P x) {
    const P least(-simd::detail::exp_constants<C>::normal), y = exp(larger(x, least));
    return {x.v < least.v ? P(0).v : y.v};
  }

  /// Weights of the state and of the token's own value in o, the larger of which is 1, and of both.
  struct reading {
    P state, own, all;
  };
  GATESCAN_INLINE reading read(P key, P bonus) const {
    const P before = ((m - key) - bonus) + low, smaller = smaller_weight(-abs(before));
    reading r{select_negative(before, smaller, P(1)), select_negative(before, P(1), smaller), P(0)};
    r.all = fma(den, r.state, r.own);
    return r;
  }
  /// o; 0 where nothing has been written.
  GATESCAN_INLINE P average(const reading& r, P v) const {
    return unless_zero(r.all, fma(num, r.state, unless_zero(r.own, r.own * v)) / r.all);
  }

  /// Weights of the state and of what comes to it, and the new m. The larger weight is 1 but for
  /// what rounding did to m: that of the state is state + lost, state being 1 or lost 0.
  struct writing {
    P state, lost, key, m, low;
    /// The state's weight times x, and more. A weight near 1 that is the same at every token would
    /// always be rounded the same way: it is added to what comes.
    GATESCAN_INLINE P carry(P x, P more) const {
      return unless_zero(state, state * x) + (unless_zero(lost, lost * x) + more);
    }
  };
  /// Of logarithms in two parts each.
  GATESCAN_INLINE writing weigh(P gate, P key, P gate_low = P(0), P key_low = P(0)) const {
    constexpr C reset = -std::numeric_limits<C>::infinity();
    const auto sum = exact_sum(m, gate);
    // also where a sum has left the numbers there are
    const auto forgets = gate.v == reset || m.v == never || sum.value.v <= P(never).v;
    const P rest{forgets ? P(0).v : (low + (sum.error + gate_low)).v};
    const auto kept = exact_sum(larger(P(never), sum.value), rest);
    const auto grows = kept.value.v < key.v;
    const P after{grows ? key.v : kept.value.v};
    const P after_low{grows ? key_low.v : RoundsM ? P(0).v : kept.error.v};
    const P by_gate = ((m - after) + gate) + ((low + gate_low) - after_low);
    const P by_key = (key - after) + (key_low - after_low);
    const P smaller = smaller_weight(P{grows ? by_gate.v : by_key.v});
    const P state{grows ? smaller.v : P(1).v}, weight{grows ? P(1).v : smaller.v};
    const P rounded = RoundsM ? fma(by_gate * P(C(0.5)), by_gate, by_gate) : P(0);
    const P lost{grows ? P(0).v : rounded.v};
    return {P{forgets ? P(0).v : state.v}, P{forgets ? P(0).v : lost.v}, weight, after, after_low};
  }
  GATESCAN_INLINE channel_average next(const writing& w, P value, P weight) const {
    return {w.carry(num, unless_zero(w.key, w.key * value)), w.carry(den, w.key * weight), w.m,
            w.low};
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
