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
  const C *q, *d_scores;  // dP: [t][writer][s]
  C* dq;                  // begins as Y
};
// Tokens [first, first + N) as keys of all readers from them on. y_end and `before`, the product of
// the gates before them, go on past them.
template <index_t N, readout... Reads, class C, std::size_t Writers>
GATESCAN_INLINE void meet_keys(const divided_by_writers<C, Writers>& x,
                               const divided_reader<C, Writers> (&readers)[sizeof...(Reads)],
                               index_t first, index_t count, index_t i, simd::pack<C>& y_end,
                               simd::pack<C>& before) {
  using P = simd::pack<C>;
  constexpr std::size_t Readers = sizeof...(Reads), Keys = N;
  constexpr bool exclusive[] = {(Reads == readout::exclusive)...};
  constexpr index_t side = subchunk_tokens;
  const index_t at = first * x.rows + i;
  const P total = simd::load(x.total + i);
  P k[Keys][Writers], sums_k[Keys][Writers], sums_a[Keys];
#pragma GCC unroll 4
  for (index_t n = 0; n < N; ++n) {
    sums_a[n] = total * y_end;
#pragma GCC unroll 2
    for (std::size_t w = 0; w < Writers; ++w) {
      const P of_later = simd::load(x.dk[w] + at + n * x.rows);
      k[n][w] = simd::load(x.k[w] + at + n * x.rows);
      y_end = simd::fma(k[n][w], of_later, y_end);
      sums_k[n][w] = total * of_later;
    }
  }
  const auto meet = [&](index_t n, const divided_reader<C, Writers>& by, index_t r, P q, P& y)
      __attribute__((always_inline)) {
    sums_a[n] = simd::fma(q, y, sums_a[n]);
#pragma GCC unroll 2
    for (std::size_t w = 0; w < Writers; ++w) {
      const index_t writer = static_cast<index_t>(w);
      const P dp(by.d_scores[(r * index_t{Writers} + writer) * side + first + n]);
      sums_k[n][w] = simd::fma(q, dp, sums_k[n][w]);
      y = simd::fma(k[n][w], dp, y);
    }
  };
    // the tokens themselves: triangles
#pragma GCC unroll 2
  for (std::size_t m = 0; m < Readers; ++m) {
    P q[Keys], y[Keys];
#pragma GCC unroll 4
    for (index_t n = 0; n < N; ++n) {
      q[n] = simd::load(readers[m].q + at + n * x.rows);
      y[n] = simd::load(readers[m].dq + at + n * x.rows);
    }
    P product = before;
#pragma GCC unroll 4
    for (index_t n = 0; n < N; ++n) {
#pragma GCC unroll 4
      for (index_t r = n + (exclusive[m] ? 1 : 0); r < N; ++r)
        meet(n, readers[m], first + r, q[r], y[r]);
      const P until_before = product;
      product = product * simd::load(x.gates + at + n * x.rows);
      simd::store(readers[m].dq + at + n * x.rows, (exclusive[m] ? until_before : product) * y[n]);
    }
  }
  for (index_t r = first + N; r < count; ++r)
#pragma GCC unroll 2
    for (std::size_t m = 0; m < Readers; ++m) {
      C* const dq = readers[m].dq + r * x.rows + i;
      const P q = simd::load(readers[m].q + r * x.rows + i);
      P y = simd::load(dq);
#pragma GCC unroll 4
      for (index_t n = 0; n < N; ++n) meet(n, readers[m], r, q, y);
      simd::store(dq, y);
    }
#pragma GCC unroll 4
  for (index_t n = 0; n < N; ++n) {
    const P inverse = simd::load(x.inverse + at + n * x.rows);
    simd::store(x.da + at + n * x.rows, sums_a[n] * (before * inverse));
    before = before * simd::load(x.gates + at + n * x.rows);
#pragma GCC unroll 2
    for (std::size_t w = 0; w < Writers; ++w)
      simd::store(x.dk[w] + at + n * x.rows, sums_k[n][w] * inverse);
  }
}

/// All readers of a subchunk.
template <readout... Reads, class C, std::size_t Writers>
__attribute__((noinline)) void meet_readers(
    const divided_by_writers<C, Writers>& pairs,
    const divided_reader<C, Writers> (&readers)[sizeof...(Reads)], index_t count) {
  using P = simd::pack<C>;
  const auto x = held(pairs);
  divided_reader<C, Writers> by[sizeof...(Reads)];
  for (std::size_t m = 0; m < sizeof...(Reads); ++m) by[m] = readers[m];
  for (index_t i = 0; i < x.rows; i += simd::lanes<C>) {
    P y_end = simd::load(x.z + i), before(1);
    index_t t = 0;
    for (; t + quad_tokens <= count; t += quad_tokens)
      meet_keys<quad_tokens, Reads...>(x, by, t, count, i, y_end, before);
    for (; t < count; ++t) meet_keys<1, Reads...>(x, by, t, count, i, y_end, before);
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
