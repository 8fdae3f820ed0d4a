#pragma once
// From one run of tokens to the next: S_out = (product of the run's gates) S_in + what it added.
// The only place where errors add up over a long sequence, so products have a low part. States in
// double have one too, and complex ones where no frame keeps their rotations exact (frame.hpp).

#include "../../../core/compensated.hpp"
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

// From sums of logarithms in double, or the product of the gates as it stands.
template <bool IsComplex, class C>
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

// A register of S_out from what the run added there. With a second part of the state, sums of equal
// signs lose nothing (at gate 1 over 2^20 tokens in double 2e-16 instead of 5e-15), and a chunk
// that turns the state by very little is not rounded away (10^6 steps of unit modulus in float:
// 9e-4 without).
template <bool LowParts, class C>
struct carry {
  using P = simd::pack<C>;
  const C *in, *in_low;
  C* out_low;
  gate_product<C> gates;
  index_t pitch;

  carry(const matrix_shape& n, const C* from, C* to, gate_product<C> product)
      : in(from),
        in_low(LowParts ? from + n.part_size() : nullptr),
        out_low(LowParts ? to + n.part_size() : nullptr),
        gates(product),
        pitch(n.state_pitch) {}

  GATESCAN_INLINE carry from(index_t row, index_t column) const {
    carry there = *this;
    const index_t place = row * pitch + column;
    there.in += place, there.gates.high += row, there.gates.low += row;
    if (LowParts) there.in_low += place, there.out_low += place;
    return there;
  }
  GATESCAN_INLINE carry from_row(index_t row) const { return from(row, 0); }

  GATESCAN_INLINE P operator()(index_t row, index_t column, P added) const {
    const index_t at = row * pitch + column;
    const P s = simd::load(in + at), a(gates.high[row]), a_low(gates.low[row]);
    if constexpr (!LowParts) return simd::fma(a, s, simd::fma(a_low, s, added));
    const auto kept = exact_product(a, s);
    const auto sum = exact_sum(kept.value, added);
    const P before = simd::load(in_low + at);
    const auto end =
        exact_sum(sum.value, simd::fma(a, before, simd::fma(a_low, s, kept.error + sum.error)));
    simd::store(out_low + at, end.error);
    return end.value;
  }
};

// The same for one plane of a complex state; gradients go through the conjugate. One plane at a
// time: nothing has to be found out for every register (gateloop, K = V = 64, 12 heads, L 2048:
// 22.3 ms instead of 25.9, one core).
template <bool LowParts, class C>
struct carry_of_plane {
  using P = simd::pack<C>;
  const C *in, *other;  // this plane and the other one
  C* out_low;
  const C *re, *re_low, *im, *im_low;  // of gates
  C sign;
  index_t pitch, low;

  carry_of_plane(const matrix_shape& n, const C* from, C* to, gate_product<C> product,
                 bool imaginary, bool conjugate)
      : in(from + (imaginary ? n.key_pitch * n.state_pitch : 0)),
        other(from + (imaginary ? 0 : n.key_pitch * n.state_pitch)),
        out_low(LowParts ? to + n.part_size() + (in - from) : nullptr),
        re(product.high),
        re_low(product.low),
        im(product.high + n.key_pitch),
        im_low(product.low + n.key_pitch),
        sign(imaginary == conjugate ? C(-1) : C(1)),
        pitch(n.state_pitch),
        low(n.part_size()) {}

  GATESCAN_INLINE carry_of_plane from(index_t row, index_t column) const {
    carry_of_plane there = *this;
    const index_t place = row * pitch + column;
    there.in += place, there.other += place;
    there.re += row, there.re_low += row, there.im += row, there.im_low += row;
    if (LowParts) there.out_low += place;
    return there;
  }
  GATESCAN_INLINE carry_of_plane from_row(index_t row) const { return from(row, 0); }

  GATESCAN_INLINE P operator()(index_t row, index_t column, P added) const {
    const index_t at = row * pitch + column;
    const P s = simd::load(in + at), a(re[row]), a_low(re_low[row]);
    const P b(sign * im[row]), b_low(sign * im_low[row]);
    if constexpr (!LowParts) {
      P sum = simd::fma(a_low, s, added);
      if (im[row] != 0) {
        const P x = simd::load(other + at);
        sum = simd::fma(b, x, simd::fma(b_low, x, sum));
      }
      return simd::fma(a, s, sum);
    }
    const P x = simd::load(other + at);
    const auto kept = exact_product(a, s), crossed = exact_product(b, x);
    const auto rotated = exact_sum(kept.value, crossed.value);
    const auto sum = exact_sum(rotated.value, added);
    P rest = (kept.error + crossed.error) + (rotated.error + sum.error);
    rest = simd::fma(b_low, x, simd::fma(a_low, s, rest));
    rest = simd::fma(a, simd::load(in + low + at), rest);
    rest = simd::fma(b, simd::load(other + low + at), rest);
    const auto end = exact_sum(sum.value, rest);
    simd::store(out_low + at, end.error);
    return end.value;
  }
};

template <class C>
bool gates_are_real(const matrix_shape& n, gate_product<C> gates) {
  const C *im = gates.high + n.key_pitch, *im_low = gates.low + n.key_pitch;
  auto zeros = ~typename simd::pack<C>::native_integer{};
  for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>)
    zeros &= simd::zeros(simd::load(im + i)) & simd::zeros(simd::load(im_low + i));
  return !simd::any(~zeros);
}

/// f(first row, rows, carry) for the planes of a state. A carry writes low parts itself.
template <bool IsComplex, class C, class F>
void for_each_plane(const matrix_shape& n, const C* in, C* out, gate_product<C> gates,
                    bool conjugate, F&& f) {
  const auto planes = [&]<bool LowParts>() {
    if constexpr (IsComplex && !LowParts)
      if (gates_are_real(n, gates)) {  // as in a turning frame that keeps most of every state
        for (const index_t first : {index_t{0}, n.key_pitch})
          f(first, n.key_pitch,
            carry<false, C>(n, in + first * n.state_pitch, out + first * n.state_pitch, gates));
        return;
      }
    if constexpr (IsComplex)
      for (const bool imaginary : {false, true})
        f(imaginary ? n.key_pitch : 0, n.key_pitch,
          carry_of_plane<LowParts, C>(n, in, out, gates, imaginary, conjugate));
    else
      f(index_t{0}, n.rows, carry<LowParts, C>(n, in, out, gates));
  };
  // real states in float have none
  if constexpr (IsComplex || std::is_same_v<C, double>)
    if (n.parts == 2) return planes.template operator()<true>();
  planes.template operator()<false>();
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
