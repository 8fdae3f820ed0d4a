#pragma once
// Pairs inside a subchunk that was divided (../key_gate/division.hpp) and that several readers read
// and several writers write. What ../key_gate/pairs.hpp says; with P and k / P of division.hpp,
// T = P of the last token, sums over writers where k and dP, over readers where q^ and Y' stand:
//
//   Y'_r(t) = Y_r(first) + sum_{s<t} dP_rs k_s / P_s        dq_r = P_r Y'_r(r + 1)
//   da_t    = (T z'_t + sum_{r>=t} q^_r Y'_r(t)) / a_t      z'_t = z + sum_{s<t} k_s / P_s X_s
//   dk_t    = (T X_t + sum_{r>=t} q^_r dP_rt) / P_t
//
// A reader whose readout is exclusive stops before its own token: r > t, dq_r = P_{r-1} Y'_r(r).
// Readers come by turns, as the Y' of one fill the registers. (gated_delta_net, a gate a key, by
// profile: pairs inside a subchunk 4.7 % of backward, by running products 8 %; AVX-512, Zen 5.)

#include <utility>

#include "../key_gate/pairs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, std::size_t Writers>
struct divided_by_writers {
  index_t rows;
  const C *gates, *inverse, *total, *z, *k[Writers];
  C *da, *dk[Writers];  // dk begins as X
};
template <class C, std::size_t Writers>
struct divided_reader {
  const C *q, *d_scores[Writers];
  C* dq;  // begins as Y
};
// Sums for gates and keys lie in da and dk from the first reader to the last.
template <index_t Tokens, readout Reads, bool First, bool Last, class C, std::size_t Writers>
__attribute__((noinline)) void meet_reader(const divided_by_writers<C, Writers>& pairs,
                                           const divided_reader<C, Writers>& reader,
                                           index_t tokens) {
  using P = simd::pack<C>;
  constexpr index_t side = subchunk_tokens, own = Reads == readout::exclusive ? 1 : 0;
  const index_t count = Tokens > 0 ? Tokens : tokens;
  const auto x = held(pairs);
  const auto by = held(reader);
  for (index_t i = 0; i < x.rows; i += simd::lanes<C>) {
    P y[std::size_t{side}];
#pragma GCC unroll 16
    for (index_t t = 0; t < count; ++t) y[t] = simd::load(by.dq + t * x.rows + i);
    P y_end = simd::load(x.z + i), before(1);
    const P total = simd::load(x.total + i);
    const auto meet = [&](index_t t) __attribute__((always_inline)) {
      const index_t at = t * x.rows + i;
      P k[Writers], sums_k[Writers], sum_a = First ? total * y_end : simd::load(x.da + at);
#pragma GCC unroll 2
      for (std::size_t w = 0; w < Writers; ++w) {
        k[w] = simd::load(x.k[w] + at);
        sums_k[w] = simd::load(x.dk[w] + at);
        if (!First) continue;
        y_end = simd::fma(k[w], sums_k[w], y_end);
        sums_k[w] = total * sums_k[w];
      }
#pragma GCC unroll 16
      for (index_t r = t + own; r < count; ++r) {
        const P q = simd::load(by.q + r * x.rows + i);
        sum_a = simd::fma(q, y[r], sum_a);
#pragma GCC unroll 2
        for (std::size_t w = 0; w < Writers; ++w) {
          const P dp(by.d_scores[w][r * side + t]);
          sums_k[w] = simd::fma(q, dp, sums_k[w]);
          y[r] = simd::fma(k[w], dp, y[r]);
        }
      }
      const P product = before * simd::load(x.gates + at);
      const P inverse = Last ? simd::load(x.inverse + at) : P(1);
      simd::store(x.da + at, Last ? sum_a * (before * inverse) : sum_a);
#pragma GCC unroll 2
      for (std::size_t w = 0; w < Writers; ++w)
        simd::store(x.dk[w] + at, Last ? sums_k[w] * inverse : sums_k[w]);
      simd::store(by.dq + at, (own > 0 ? before : product) * y[t]);
      before = product;
    };
    if constexpr (Tokens > 0) [&]<index_t... T>(std::integer_sequence<index_t, T...>) {
        (meet(T), ...);
      }
    (std::make_integer_sequence<index_t, Tokens>{});
    else for (index_t t = 0; t < count; ++t) meet(t);
  }
}

/// All readers of a subchunk, q first; a whole one is unrolled, and its Y' stay in registers.
template <readout... Reads, class C, std::size_t Writers>
void meet_readers(const divided_by_writers<C, Writers>& pairs,
                  const divided_reader<C, Writers> (&readers)[sizeof...(Reads)], index_t count) {
  constexpr std::size_t last = sizeof...(Reads) - 1;
  const auto all = [&]<index_t Tokens>() {
    [&]<std::size_t... M>(std::index_sequence<M...>) {
      (meet_reader<Tokens, Reads, M == 0, M == last>(pairs, readers[M], count), ...);
    }
    (std::make_index_sequence<sizeof...(Reads)>{});
  };
  if (count == subchunk_tokens)
    all.template operator()<subchunk_tokens>();
  else
    all.template operator()<0>();
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
