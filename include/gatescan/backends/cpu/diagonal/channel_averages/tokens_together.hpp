#pragma once
// A few tokens of a register of channels at once, whose weights count against one m, that of the
// state before them. With G_t the sum of the gates up to token t, and num and den of that state,
//
//   e_t = e^(key_t - G_t - m)         num += e_t v_t, den += e_t      after it is read
//   own_t = e^(key_t - G_{t-1} - m + bonus_t)     o_t = (num + own_t v_t) / (den + own_t)
//
// and after the last one m' = max(m, key_t - G_t) + G, and num and den by e^(m + G - m'). A token
// costs two exponentials and no decay, but where an exponent is not small or what is weighed is not
// finite: from there on a channel goes token by token (average.hpp). Neither what comes later nor
// what is in other channels has a part in its bits.

#include <limits>

#include "../../simd/arrays.hpp"
#include "average.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// A token among those that count against one m: num and den before it, its weight, and what was
/// read, o = read / all.
template <class C>
struct weighed_token {
  simd::pack<C> num, den, key, own, read, all;
};

template <class C>
class tokens_together {
 public:
  using P = simd::pack<C>;
  using average = channel_average<C, false>;
  using lanes = typename P::native_integer;

  /// Weights and their products with values of ordinary size are normal numbers; with others they
  /// may be too large, where an average is not.
  static constexpr C reach = 60;

  /// There is nothing that stays the same (steady_tokens.hpp).
  template <class Logs>
  static GATESCAN_INLINE P constant(const Logs&) {
    return P(0);
  }
  template <class Logs>
  GATESCAN_INLINE tokens_together(const average& before, const Logs&, P)
      : s_(before), top_(before.m), top_low_(before.low) {}

  /// Takes the token into the state, the i-th of them. What it Reads: own and o.
  template <bool Reads, class Logs>
  GATESCAN_INLINE weighed_token<C> take(const Logs& logs, P v, index_t) {
    const P gate = logs.gate, key = logs.key;
    const auto before =
        exact_sum(key, -sum_);  // keys and m may be far from 0, their difference not
    const P by_own = ((before.value - s_.m) + ((before.error - sum_low_) - s_.low)) + logs.bonus;
    const auto sum = exact_sum(sum_, gate);
    sum_ = sum.value, sum_low_ = sum_low_ + sum.error;
    const auto since = exact_sum(key, -sum_);
    const P since_low = since.error - sum_low_;
    const P by_key = (since.value - s_.m) + (since_low - s_.low);
    extent_ = larger(extent_, abs(by_key));
    const auto grows = top_.v < since.value.v;
    top_ = {grows ? since.value.v : top_.v}, top_low_ = {grows ? since_low.v : top_low_.v};
    weighed_token<C> w{s_.num, s_.den, simd::near_exp(by_key), P(0), P(0), P(0)};
    seen_ = seen_ + by_key;
    if constexpr (Reads) {
      extent_ = larger(extent_, abs(by_own));
      seen_ = seen_ + by_own;
      w.own = simd::near_exp(by_own);
      w.read = fma(w.own, v, s_.num), w.all = s_.den + w.own;
      watch_ = watch_ + w.read;
    }
    s_.num = fma(w.key, v, s_.num), s_.den = s_.den + w.key;
    return w;
  }
  /// Of the tokens so far: the channels that o and the state are right of. What is not finite stays
  /// so in a state and in sums of what was read and of exponents (near_exp knows no NaN).
  lanes in_range() const {
    return (extent_.v <= reach) & (((watch_ + seen_) * P(0)).v == P(0).v) &
           (abs(s_.num).v <= largest_number);
  }
  /// What the state's numbers, those before the tokens too, are multiplied by after the tokens.
  GATESCAN_INLINE P kept() const { return simd::near_exp((s_.m - top_) + (s_.low - top_low_)); }
  /// After all of the tokens.
  GATESCAN_INLINE average state(index_t) const {
    const P scale = kept();
    const auto sum = exact_sum(top_, sum_);
    const auto m = exact_sum(sum.value, sum.error + (top_low_ + sum_low_));
    return {s_.num * scale, s_.den * scale, m.value, m.error};
  }

 private:
  static constexpr C largest_number = (std::numeric_limits<C>::max)();

  average s_;  // m and low stay those before the tokens
  P sum_{0}, sum_low_{0}, top_, top_low_;
  P extent_{0}, seen_{0}, watch_{0};  // largest exponent; sums of exponents, of what was read
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
