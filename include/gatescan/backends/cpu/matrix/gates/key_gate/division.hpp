#pragma once
// The products of a subchunk for several readers (q) and writers (k) at once, by a division a key
// and token, where no product of gates is so small or large that operands of ordinary size lose
// bits below the smallest normal number:
//
//   P_t = prod_{f<=j<=t} a_j, f the first token       q^_t = q_t P_t                [K] each
//   k^_s = k_s prod of the subchunk's gates after s
//   P_ts = Re sum_i q^_t[i] (k_s / P_s)[i]                                          s <= t
//
// A reader whose readout is exclusive stops before its own gate. Nothing of P_ts comes of what is
// after t: NaN there stays there. From a reset or a far decay on tokens take the running products
// of quads.hpp; those before it do not, as their bits may not depend on what comes later.

#include <cmath>
#include <limits>

#include "quads.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Rows that lie in tiles, [token][rows].
template <class C, std::size_t Readers, std::size_t Writers>
struct pairs_in_tiles {
  const C *q[Readers], *k[Writers], *gates;
};
/// What is made of them, [token][rows].
template <class C, std::size_t Readers, std::size_t Writers>
struct divided_rows {
  C* q[Readers];          // q^
  C* k[Writers];          // k^
  C* k_divided[Writers];  // k_s / P_s
  C* total;               // [rows]: product of all gates
  C* inverse;             // 1 / P_s, where there is room for it
};

// rwkv7's fastest decay is 2^-14 in a subchunk.
template <class C>
inline constexpr C least_divisor = C(0x1p-24);

/// How many tokens come before the first whose product is finite and out of range.
template <class C>
index_t divisible_tokens(index_t pitch, index_t count, const C* gates) {
  for (index_t i = 0; i < pitch; ++i) {
    C product(1);
    for (index_t t = 0; t < count; ++t) {
      product *= gates[t * pitch + i];
      const C extent = std::abs(product);
      if (extent < least_divisor<C> ||
          (extent > 1 / least_divisor<C> && extent < std::numeric_limits<C>::infinity()))
        count = t;
    }
  }
  return count;
}

/// Returns for how many tokens, the first ones, a division is safe.
template <readout... Reads, class C, std::size_t Writers>
index_t divide_rows(index_t pitch, index_t count,
                    const pairs_in_tiles<C, sizeof...(Reads), Writers>& tiles,
                    const divided_rows<C, sizeof...(Reads), Writers>& rows) {
  using P = simd::pack<C>;
  constexpr std::size_t Readers = sizeof...(Reads);
  constexpr bool exclusive[] = {(Reads == readout::exclusive)...};
  const auto from = held(tiles);
  const auto to = held(rows);
  const P beyond_all(std::numeric_limits<C>::infinity());
  P least(1), most(1);  // of magnitudes; tokens from NaN or infinity on are lost in any case
  for (index_t i = 0; i < pitch; i += simd::lanes<C>) {
    P product(1);
    for (index_t t = 0; t < count; ++t) {
      const index_t at = t * pitch + i;
      const P before = product;
      product = product * simd::load(from.gates + at);
      const P extent = simd::abs(product), inverse = simd::reciprocal(product);
#pragma GCC unroll 2
      for (std::size_t m = 0; m < Readers; ++m)
        simd::store(to.q[m] + at, simd::load(from.q[m] + at) * (exclusive[m] ? before : product));
#pragma GCC unroll 2
      for (std::size_t w = 0; w < Writers; ++w)
        simd::store(to.k_divided[w] + at, simd::load(from.k[w] + at) * inverse);
      if (to.inverse != nullptr) simd::store(to.inverse + at, inverse);
      least = {extent.v < least.v ? extent.v : least.v};
      most = {extent.v > most.v && extent.v < beyond_all.v ? extent.v : most.v};
    }
    simd::store(to.total + i, product);
    P later(1);
    for (index_t s = count - 1; s >= 0; --s) {
      const index_t at = s * pitch + i;
#pragma GCC unroll 2
      for (std::size_t w = 0; w < Writers; ++w)
        simd::store(to.k[w] + at, simd::load(from.k[w] + at) * later);
      later = later * simd::load(from.gates + at);
    }
  }
  constexpr C bound = 1 / least_divisor<C>;
  const bool all = simd::all_within(most, bound) && simd::all_within(P(1) / least, bound);
  return all ? count : divisible_tokens(pitch, count, tiles.gates);
}

/// scores[s][t] = q_t . k_s of a subchunk's tokens, s <= t. Queries come transposed, in rows of
/// `pitch` tokens.
template <class C>
void multiply_keys(const matrix_shape& n, index_t count, const C* k, const C* q_transposed,
                   index_t pitch, C* scores) {
  constexpr index_t side = subchunk_tokens, width = simd::lanes<C>;
  // [keys, K] x [K, their tokens and later ones]
  for (index_t s = 0; s < count; s += width)
    simd::set_product<C>((std::min)(width, count - s), side - s, n.rows,
                         simd::by_rows<C>(k + s * n.rows, n.rows), {q_transposed + s, pitch},
                         {scores + s * side + s, side});
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
