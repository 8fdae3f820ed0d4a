#pragma once
// A channel's average, with weights that are exponentials of any size: what the CPU's
// channel_averages/average.hpp has in a register of channels, one number at a time.
//
//   m' = max(m + gate, key)     s' = e^((m - m') + gate) s + e^(key - m') (v, 1)     s = (num, den)
//   o = (num e^m + v e^(key + bonus)) / (den e^m + e^(key + bonus))
//
// m is a number and, but in recurrent mode, what rounding took of it. Gradients are those at fixed
// m, which are exact: o does not depend on it.

#include <limits>

#include "../../../core/compensated.hpp"
#include "../../../core/math.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace averages {

/// m is what it is to its last bit, m + low; low is 0 where m is rounded.
template <class C>
struct average {
  /// m where nothing has been written: -inf would make NaN of a difference.
  static constexpr C never = std::numeric_limits<C>::lowest();
  static constexpr C reset = -std::numeric_limits<C>::infinity();

  C num, den, m, low;

  GATESCAN_HD static average nothing() { return {C(0), C(0), C(never), C(0)}; }

  /// Weights of the state and of the token's own value in o, the larger of which is 1, and of both.
  struct reading {
    C state, own, all;
  };
  GATESCAN_HD reading read(C key, C bonus) const {
    const C before = ((m - key) - bonus) + low, smaller = exp(-abs(before));
    const bool own_is_more = before < 0;
    const C of_state = own_is_more ? smaller : C(1), of_own = own_is_more ? C(1) : smaller;
    return {of_state, of_own, fma(den, of_state, of_own)};
  }
  /// o; 0 where nothing has been written.
  GATESCAN_HD C read_value(const reading& r, C v) const {
    return unless_zero(r.all, fma(num, r.state, unless_zero(r.own, r.own * v)) / r.all);
  }

  /// num and den of a state whose m has no low part, by those of this one; an m that is rounded by
  /// more says nothing of them.
  GATESCAN_HD C rounds_by() const { return low == 0 || abs(low) >= C(60) ? C(1) : exp(low); }

  /// Weights of the state and of what comes to it, and the new m. The larger weight is 1 but for
  /// what rounding did to m: that of the state is state + lost, state being 1 or lost 0.
  struct writing {
    C state, lost, key, m, low;
    /// The state's weight times x, and more. A weight near 1 that is the same at every token would
    /// always be rounded the same way: it is added to what comes.
    GATESCAN_HD C carry(C x, C more) const {
      return unless_zero(state, state * x) + (unless_zero(lost, lost * x) + more);
    }
  };
  GATESCAN_HD writing weigh(C gate, C key, bool rounds_m) const {
    const auto sum = exact_sum(m, gate);
    // also where a sum has left the numbers there are
    const bool forgets = gate == reset || m == never || sum.value <= never;
    const auto kept =
        exact_sum(sum.value < never ? C(never) : sum.value, forgets ? C(0) : low + sum.error);
    const bool grows = kept.value < key;
    const C after = grows ? key : kept.value, after_low = grows || rounds_m ? C(0) : kept.error;
    const C by_gate = ((m - after) + gate) + (low - after_low), by_key = (key - after) - after_low;
    const C smaller = exp(grows ? by_gate : by_key);
    const C lost = grows || !rounds_m ? C(0) : fma(by_gate * C(0.5), by_gate, by_gate);
    return {forgets ? C(0)
            : grows ? smaller
                    : C(1),
            forgets ? C(0) : lost, grows ? C(1) : smaller, after, after_low};
  }
  GATESCAN_HD average next(const writing& w, C v) const {
    return {w.carry(num, unless_zero(w.key, w.key * v)), w.carry(den, w.key), w.m, w.low};
  }
};

}  // namespace averages
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
