#pragma once
// The product of a chunk's gates, one a key. Rounded to one float, the gate of a slow decay or a
// rotation would be wrong by the same amount in every chunk (after 10^6 tokens of unit modulus, by
// 4e-2), so products have a low part: high + low.

#include "../../../core/compensated.hpp"
#include "tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct gate_product {
  const C *high = nullptr, *low = nullptr;  // [rows]
};

/// high + low times (a_high + a_low), rows of keys.
template <bool IsComplex, class C>
void multiply_products(C* high, C* low, gate_product<C> a, const matrix_shape& n) {
  using P = simd::pack<C>;
  for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) {
    const auto x = load_keys<IsComplex>(high, i, n.key_pitch),
               x0 = load_keys<IsComplex>(low, i, n.key_pitch);
    const auto y = load_keys<IsComplex>(a.high, i, n.key_pitch),
               y0 = load_keys<IsComplex>(a.low, i, n.key_pitch);
    if constexpr (IsComplex) {
      const auto re1 = exact_product(x.re, y.re), re2 = exact_product(-x.im, y.im);
      const auto im1 = exact_product(x.re, y.im), im2 = exact_product(x.im, y.re);
      const auto re = exact_sum(re1.value, re2.value), im = exact_sum(im1.value, im2.value);
      const cplx<P> errors{re.error + (re1.error + re2.error), im.error + (im1.error + im2.error)};
      store_keys<IsComplex>(high, i, n.key_pitch, cplx<P>{re.value, im.value});
      store_keys<IsComplex>(low, i, n.key_pitch, fma(x, y0, fma(x0, y, errors)));
    } else {
      const auto p = exact_product(x, y);
      store_keys<IsComplex>(high, i, n.key_pitch, p.value);
      store_keys<IsComplex>(low, i, n.key_pitch, simd::fma(x, y0, simd::fma(x0, y, p.error)));
    }
  }
}

/// high + low = the product of the chunk's gates: from the sums of their logarithms in double,
/// where they have some, or from `product`, rounded gates multiplied.
template <bool IsComplex, class C>
void set_gate_product(const matrix_tiles<C>& x, const C* product, C* high, C* low) {
  const matrix_shape& n = x.n;
  if (x.log_gates == nullptr) {
    if (high != product) copy_numbers(high, product, n.rows);
    return fill(low, n.rows, C(0));
  }
  // sums of logarithms stand beside float states only
  if constexpr (std::is_same_v<C, float>) {
    using simd::doubles;
    const auto split = [&](const doubles& exact, index_t at) {
      const simd::pack<float> rounded = simd::narrow(exact);
      const doubles wide = simd::widen(rounded);
      simd::store(high + at, rounded);
      simd::store(low + at, simd::narrow({exact.first - wide.first, exact.second - wide.second}));
    };
    const auto sums = [&](index_t at) {
      return doubles{simd::load(x.log_gates + at),
                     simd::load(x.log_gates + at + simd::lanes<double>)};
    };
    for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) {
      const doubles log = sums(i), magnitude{exp(log.first), exp(log.second)};
      if constexpr (IsComplex) {
        const doubles turn = sums(n.key_pitch + i);
        const auto first = cis(turn.first), second = cis(turn.second);
        split({magnitude.first * first.re, magnitude.second * second.re}, i);
        split({magnitude.first * first.im, magnitude.second * second.im}, n.key_pitch + i);
      } else {
        split(magnitude, i);
      }
    }
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
