#pragma once
// From one run of tokens to the next: S_out = (product of the run's gates) S_in + what it added.
// The only place where errors add up over a long sequence, so products have a low part. States in
// double have one too, and complex ones where no frame keeps their rotations exact (frame.hpp).

#include "../exact.hpp"
#include "tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// The product of a run's gates, one a key: rows of high parts, rows of low parts. Rounded to one
/// float, the gate of a slow decay or a rotation is wrong by the same amount in every run: after
/// 10^6 tokens of unit modulus, by 4e-2.
template <class C>
struct gate_product {
  const C* high = nullptr;
  const C* low = nullptr;
};

/// high + low times (a_high + a_low), rows of keys.
template <bool Complex, class C>
void multiply_products(C* high, C* low, gate_product<C> a, const matrix_shape& n) {
  using P = simd::pack<C>;
  for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) {
    const auto x = load_keys<Complex>(high, i, n.key_pitch),
               x0 = load_keys<Complex>(low, i, n.key_pitch);
    const auto y = load_keys<Complex>(a.high, i, n.key_pitch),
               y0 = load_keys<Complex>(a.low, i, n.key_pitch);
    if constexpr (Complex) {
      const auto re1 = exact_product(x.re, y.re), re2 = exact_product(-x.im, y.im);
      const auto im1 = exact_product(x.re, y.im), im2 = exact_product(x.im, y.re);
      const auto re = exact_sum(re1.value, re2.value), im = exact_sum(im1.value, im2.value);
      const cplx<P> errors{re.error + (re1.error + re2.error), im.error + (im1.error + im2.error)};
      store_keys<Complex>(high, i, n.key_pitch, cplx<P>{re.value, im.value});
      store_keys<Complex>(low, i, n.key_pitch, fma(x, y0, fma(x0, y, errors)));
    } else {
      const auto p = exact_product(x, y);
      store_keys<Complex>(high, i, n.key_pitch, p.value);
      store_keys<Complex>(low, i, n.key_pitch, simd::fma(x, y0, simd::fma(x0, y, p.error)));
    }
  }
}

// From sums of logarithms in double, or the product of the gates as it stands.
template <bool Complex, class C>
void chunk_gates(const matrix_tiles<C>& x, const C* product, C* high, C* low) {
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
      if constexpr (Complex) {
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

/// Writes a register of S_out from what the run added there; rows of one or two planes. With a
/// second part of the state, sums of equal signs lose nothing (at gate 1 over 2^20 tokens in double
/// 2e-16 instead of 5e-15), and a chunk that turns the state by very little is not rounded away
/// (10^6 steps of unit modulus in float: 9e-4 without).
template <bool Complex, class C>
struct carry {
  using P = simd::pack<C>;
  const C* in;
  C* out;
  gate_product<C> product;
  index_t pitch, keys;
  index_t low_part;  // of the state, 0 where it has none
  bool conjugate;    // gradients go through the conjugate

  carry(const matrix_shape& n, const C* from, C* to, gate_product<C> gates, bool conj = false)
      : in(from),
        out(to),
        product(gates),
        pitch(n.state_pitch),
        keys(n.key_pitch),
        low_part(n.parts == 2 ? n.part_size() : 0),
        conjugate(conj) {}

  GATESCAN_INLINE P operator()(index_t row, index_t column, P added) const {
    const index_t at = row * pitch + column;
    if constexpr (Complex) {
      const bool imaginary = row >= keys;
      const index_t i = imaginary ? row - keys : row;
      const index_t other = imaginary ? at - keys * pitch : at + keys * pitch;
      const C sign = imaginary == conjugate ? C(-1) : C(1);
      const P s = simd::load(in + at), turned = simd::load(in + other);
      if (low_part != 0) {
        const P a(product.high[i]), b(sign * product.high[keys + i]);
        const auto kept = exact_product(a, s), crossed = exact_product(b, turned);
        const auto rotated = exact_sum(kept.value, crossed.value);
        const auto sum = exact_sum(rotated.value, added);
        P low = (kept.error + crossed.error) + (rotated.error + sum.error);
        low = simd::fma(P(product.low[i]), s, low);
        low = simd::fma(P(sign * product.low[keys + i]), turned, low);
        low = simd::fma(a, simd::load(in + low_part + at), low);
        low = simd::fma(b, simd::load(in + low_part + other), low);
        const auto end = exact_sum(sum.value, low);
        simd::store(out + low_part + at, end.error);
        return end.value;
      }
      P low = simd::fma(P(product.low[i]), s, added);
      if (product.high[keys + i] == 0) return simd::fma(P(product.high[i]), s, low);  // real
      low = simd::fma(P(sign * product.low[keys + i]), turned, low);
      low = simd::fma(P(sign * product.high[keys + i]), turned, low);
      return simd::fma(P(product.high[i]), s, low);
    } else {
      const P s = simd::load(in + at), a(product.high[row]), a_low(product.low[row]);
      if (std::is_same_v<C, double> && low_part != 0) {
        const auto kept = exact_product(a, s);
        const auto sum = exact_sum(kept.value, added);
        const P before = simd::load(in + low_part + at);
        const auto end =
            exact_sum(sum.value, simd::fma(a, before, simd::fma(a_low, s, kept.error + sum.error)));
        simd::store(out + low_part + at, end.error);
        return end.value;
      }
      return simd::fma(a, s, simd::fma(a_low, s, added));
    }
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
