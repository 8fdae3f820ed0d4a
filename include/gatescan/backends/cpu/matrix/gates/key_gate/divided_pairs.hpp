#pragma once
// Pairs inside a subchunk that was divided (division.hpp), of queries that read their own token.
// What pairs.hpp says, with
//
//   Y_r(t) = P_{t-1} Y'_r(t)      x_r(t) = q^_r / P_t      T = P of the last token
//
//   Y'_r(t) = Y_r(first) + sum_{s<t} dP_rs k_s / P_s        dq_r = P_r Y'_r(r + 1)
//   da_t    = (T z'_t + sum_{r>=t} q^_r Y'_r(t)) / a_t      z'_t = z + sum_{s<t} k_s / P_s X_s
//   dk_t    = (T X_t + sum_{r>=t} q^_r dP_rt) / P_t
//
// so that no sum meets a gate: three multiply-adds a pair. No gate is 0 here, and da_t is the sum
// of the pairs that meet a_t as before, no difference of others.

#include "subchunks.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct divided_pairs {
  index_t rows;
  const C *gates, *q, *k, *inverse, *total, *z, *d_scores;
  C *dq, *dk, *da;  // dq begins as Y, dk as X
};
// Loops over a whole subchunk are unrolled: its Y stay in registers, where there are enough.
template <index_t Tokens, class C>
__attribute__((noinline)) void meet_divided(const divided_pairs<C>& pairs, index_t tokens) {
  using P = simd::pack<C>;
  constexpr index_t side = subchunk_tokens;
  const index_t count = Tokens > 0 ? Tokens : tokens;
  const auto x = held(pairs);
  for (index_t i = 0; i < x.rows; i += simd::lanes<C>) {
    P y[std::size_t{side}];
#pragma GCC unroll 16
    for (index_t t = 0; t < count; ++t) y[t] = simd::load(x.dq + t * x.rows + i);
    P y_end = simd::load(x.z + i), before(1);
    const P total = simd::load(x.total + i);
    const auto meet = [&](index_t t) __attribute__((always_inline)) {
      const index_t at = t * x.rows + i;
      const P k = simd::load(x.k + at), inverse = simd::load(x.inverse + at);
      const P x_end = simd::load(x.dk + at);
      P sum_a = total * y_end, sum_k = total * x_end;
#pragma GCC unroll 16
      for (index_t r = t; r < count; ++r) {
        const P q = simd::load(x.q + r * x.rows + i), dp(x.d_scores[r * side + t]);
        sum_a = simd::fma(q, y[r], sum_a);
        sum_k = simd::fma(q, dp, sum_k);
        y[r] = simd::fma(k, dp, y[r]);
      }
      y_end = simd::fma(k, x_end, y_end);
      const P product = before * simd::load(x.gates + at);
      simd::store(x.da + at, sum_a * (before * inverse));
      simd::store(x.dk + at, sum_k * inverse);
      simd::store(x.dq + at, product * y[t]);
      before = product;
    };
    if constexpr (Tokens > 0) [&]<index_t... T>(std::integer_sequence<index_t, T...>) {
        (meet(T), ...);
      }
    (std::make_integer_sequence<index_t, Tokens>{});
    else for (index_t t = 0; t < count; ++t) meet(t);
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
