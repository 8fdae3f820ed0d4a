#pragma once
// A few tokens at once (tokens_together.hpp) where neither gate nor bonus changes from token to
// token (core/parts.hpp, steady_weights). With r_t = key_t - t gate - m, t counted from 1,
//
//   e_t = e^(r_t)      own_t = e_t e^(gate + bonus)
//
// so that a token costs one exponential. t gate and m' are made of exact products.

#include "tokens_together.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
class steady_tokens {
 public:
  using P = simd::pack<C>;
  using average = channel_average<C, false>;
  using lanes = typename P::native_integer;

  /// What of a channel is worth keeping from time to time: own_t / e_t.
  template <class Logs>
  static GATESCAN_INLINE P constant(const Logs& logs) {
    return simd::near_exp(logs.gate + logs.bonus);
  }
  template <class Logs>
  GATESCAN_INLINE steady_tokens(const average& before, const Logs& logs, P own)
      : s_(before),
        gate_(logs.gate),
        own_(own),
        reach_(P(tokens_together<C>::reach) - abs(logs.gate + logs.bonus)) {}

  /// Takes the token into the state, the i-th of them. What it Reads: own and o.
  template <bool Reads, class Logs>
  GATESCAN_INLINE weighed_token<C> take(const Logs& logs, P v, index_t i) {
    const P count(static_cast<C>(i + 1)), key = logs.key;
    const P since = fnma(count, gate_, (key - s_.m) - s_.low);
    const auto grows = top_.v < since.v;
    top_ = {grows ? since.v : top_.v};
    top_key_ = {grows ? key.v : top_key_.v}, top_count_ = {grows ? count.v : top_count_.v};
    least_ = {since.v < least_.v ? since.v : least_.v};
    seen_ = seen_ + since;
    weighed_token<C> w{s_.num, s_.den, simd::near_exp(since), P(0), P(0), P(0)};
    if constexpr (Reads) {
      w.own = w.key * own_;
      w.read = fma(w.own, v, s_.num), w.all = s_.den + w.own;
      watch_ = watch_ + w.read;
    }
    s_.num = fma(w.key, v, s_.num), s_.den = s_.den + w.key;
    return w;
  }
  /// As that of tokens_together.
  lanes in_range() const {
    return (top_.v <= reach_.v) & (least_.v >= (-reach_).v) &
           (((watch_ + seen_) * P(0)).v == P(0).v) &
           (abs(s_.num).v <= (std::numeric_limits<C>::max)());
  }
  GATESCAN_INLINE P kept() const { return simd::near_exp(-top_); }
  GATESCAN_INLINE average state(index_t count) const {
    const auto grows = top_.v > P(0).v;
    const auto gates = exact_product(P(static_cast<C>(count)) - top_count_, gate_);
    const auto sum = exact_sum(P{grows ? top_key_.v : s_.m.v}, gates.value);
    const P low{grows ? P(0).v : s_.low.v};
    const auto m = exact_sum(sum.value, sum.error + (gates.error + low));
    const P scale = kept();
    return {s_.num * scale, s_.den * scale, m.value, m.error};
  }

 private:
  average s_;  // m and low stay those before the tokens
  P gate_, own_, reach_;
  P top_{0}, least_{0};          // of r, and of 0
  P top_key_{0}, top_count_{0};  // where r is largest
  P seen_{0}, watch_{0};         // sums of r, of what was read
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
