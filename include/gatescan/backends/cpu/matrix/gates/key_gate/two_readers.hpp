#pragma once
// What two readers of a whole subchunk make of its keys, where a register has as many lanes as the
// subchunk has tokens. Half of a register would be idle where keys of the second half meet readers,
// as tokens before them do not count; so one register has the first tokens of both readers, another
// one their later tokens, and later keys only meet that: three quarters of the products (forward,
// AVX-512, Zen 5: rwkv7 7.17 ms, now 6.81, gated_delta_net with a gate a head 9.46, now 9.24).

#include "../../chunk_kernel.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
inline constexpr bool two_readers_in_halves = simd::lanes<C> == subchunk_tokens;

/// to[row of keys]: the first tokens of q and of p, then their later ones.
template <class C>
void transpose_two_readers(index_t rows, const C* q, const C* p, C* to) {
  constexpr index_t side = subchunk_tokens, half = side / 2;
  for (index_t i = 0; i < rows; i += side)
    for (index_t first = 0; first < side; first += half) {
      simd::pack<C> x[std::size_t{simd::lanes<C>}];
#pragma GCC unroll 16
      for (index_t t = 0; t < half; ++t) {
        x[t] = simd::load(q + (first + t) * rows + i);
        x[half + t] = simd::load(p + (first + t) * rows + i);
      }
      simd::transpose(x);
#pragma GCC unroll 16
      for (index_t m = 0; m < side; ++m) simd::store(to + (i + m) * 2 * side + 2 * first, x[m]);
    }
}

/// of_q[s][t] = q_t . k_s and of_p the same, s <= t, from readers as transpose_two_readers leaves
/// them.
template <class C>
__attribute__((noinline)) void multiply_two_readers(index_t rows, const C* k, const C* transposed,
                                                    C* of_q, C* of_p) {
  using P = simd::pack<C>;
  constexpr index_t side = subchunk_tokens, half = side / 2, together = 2;
  P early[std::size_t{half}][2], late[std::size_t{half}];
#pragma GCC unroll 8
  for (index_t s = 0; s < half; ++s) early[s][0] = early[s][1] = late[s] = P(0);
  for (index_t i = 0; i < rows; i += together, transposed += together * 2 * side, k += together) {
    P first[std::size_t{together}], later[std::size_t{together}];
#pragma GCC unroll 2
    for (index_t m = 0; m < together; ++m) {
      first[m] = simd::load(transposed + m * 2 * side);
      later[m] = simd::load(transposed + m * 2 * side + side);
    }
    const C* key = k;
#pragma GCC unroll 8
    for (index_t s = 0; s < half; ++s, key += rows)
#pragma GCC unroll 2
      for (index_t m = 0; m < together; ++m) {
        const P x(key[m]);
        early[s][0] = simd::fma(x, first[m], early[s][0]);
        early[s][1] = simd::fma(x, later[m], early[s][1]);
      }
#pragma GCC unroll 8
    for (index_t s = 0; s < half; ++s, key += rows)
#pragma GCC unroll 2
      for (index_t m = 0; m < together; ++m) late[s] = simd::fma(P(key[m]), later[m], late[s]);
  }
#pragma GCC unroll 8
  for (index_t s = 0; s < half; ++s) {
    simd::store(of_q + s * side, simd::first_halves(early[s][0], early[s][1]));
    simd::store(of_p + s * side, simd::second_halves(early[s][0], early[s][1]));
    simd::store(of_q + (half + s) * side, simd::first_halves(P(0), late[s]));
    simd::store(of_p + (half + s) * side, simd::second_halves(P(0), late[s]));
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
