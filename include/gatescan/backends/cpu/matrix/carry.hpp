#pragma once
// From one chunk to the next:
//
//   S_out[K, V] = (product of the chunk's gates)[K] S_in[K, V] + k[tokens, K]^T x v[tokens, V]
//
// with keys decayed to the chunk's end. The only place where errors add up over a long sequence, so
// products of gates have a low part. States in double have one too, and complex ones where no
// rotating frame keeps their rotations exact (gates/rotating_gate/frame.hpp).

#include "gate_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// A register of S_out from what the chunk added there. With a second part of the state, sums of
// equal signs lose nothing (at gate 1 over 2^20 tokens in double 2e-16 instead of 5e-15), and a
// chunk that turns the state by very little is not rounded away (10^6 steps of unit modulus in
// float: 9e-4 without).
template <bool LowParts, class C>
struct carry {
  using P = simd::pack<C>;
  const C *in, *in_low;
  C* out_low;
  gate_product<C> gates;
  index_t pitch;
  bool writes_far;

  carry(const matrix_shape& n, const C* from, C* to, gate_product<C> product, bool to_is_far)
      : in(from),
        in_low(LowParts ? from + n.part_size() : nullptr),
        out_low(LowParts ? to + n.part_size() : nullptr),
        gates(product),
        pitch(n.state_pitch),
        writes_far(to_is_far) {}

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
  bool writes_far;

  carry_of_plane(const matrix_shape& n, const C* from, C* to, gate_product<C> product,
                 bool imaginary, bool conjugate, bool to_is_far)
      : in(from + (imaginary ? n.key_pitch * n.state_pitch : 0)),
        other(from + (imaginary ? 0 : n.key_pitch * n.state_pitch)),
        out_low(LowParts ? to + n.part_size() + (in - from) : nullptr),
        re(product.high),
        re_low(product.low),
        im(product.high + n.key_pitch),
        im_low(product.low + n.key_pitch),
        sign(imaginary == conjugate ? C(-1) : C(1)),
        pitch(n.state_pitch),
        low(n.part_size()),
        writes_far(to_is_far) {}

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
                    bool conjugate, bool to_is_far, F&& f) {
  const auto planes = [&]<bool LowParts>() {
    if constexpr (IsComplex && !LowParts)
      if (gates_are_real(n, gates)) {  // as in a rotating frame that keeps most of every state
        for (const index_t first : {index_t{0}, n.key_pitch})
          f(first, n.key_pitch,
            carry<false, C>(n, in + first * n.state_pitch, out + first * n.state_pitch, gates,
                            to_is_far));
        return;
      }
    if constexpr (IsComplex)
      for (const bool imaginary : {false, true})
        f(imaginary ? n.key_pitch : 0, n.key_pitch,
          carry_of_plane<LowParts, C>(n, in, out, gates, imaginary, conjugate, to_is_far));
    else
      f(index_t{0}, n.rows, carry<LowParts, C>(n, in, out, gates, to_is_far));
  };
  // real states in float have none
  if constexpr (IsComplex || std::is_same_v<C, double>)
    if (n.parts == 2) return planes.template operator()<true>();
  planes.template operator()<false>();
}

template <class C>
index_t panels_of(const matrix_shape& n) {
  constexpr index_t width = simd::widest_panel * simd::lanes<C>;
  return (n.value_pitch + width - 1) / width;
}
template <class C>
bool state_finite(const C* state, const matrix_shape& n) {
  return all_finite(state, n.parts * n.rows, n.value_pitch, n.state_pitch);
}
// From what the products of its panels returned, which knows nothing of low parts. There may be no
// state among them.
template <class C>
bool state_finite(simd::pack<C> watch, const C* state, const matrix_shape& n) {
  return simd::sum(watch) == C(0) && (n.parts == 1 || state == nullptr || state_finite(state, n));
}

/// The whole update; gradients of states go back through the conjugate of the gates.
template <class C, bool IsComplex, bool Conjugate = false>
struct state_update {
  matrix_shape n;
  index_t tokens;
  const C* k;  // [token][rows], decayed to the chunk's end
  const C* v;  // [token][value_pitch]
  gate_product<C> gates;
  const C* in;
  C* out;
  // States that are kept lie far from the first cache: rows are asked for before they are written
  // (gla backward, K = V = 128, 1.03 to 1.1 times as fast, AVX2).
  bool out_is_far = false;

  /// Columns [j, j + registers). between() is called after every few rows. Returns zeros, or NaN
  /// where the panel is not finite.
  template <class Between>
  simd::pack<C> panel(index_t registers, index_t j, Between between) const {
    simd::pack<C> watch(0);
    for_each_plane<IsComplex>(
        n, in, out, gates, Conjugate, out_is_far, [&](index_t first, index_t rows, auto next) {
          // [K, tokens] x [tokens, registers]
          watch += simd::product_of_panel<C>(
              registers, rows, tokens, simd::by_columns<C>(k + first, n.rows),
              {v + j, n.value_pitch}, {out + first * n.state_pitch + j, n.state_pitch},
              next.from(0, j), between);
        });
    return watch;
  }
  /// All columns; false where S_out is not finite.
  template <class Between>
  bool all(Between between) const {
    simd::pack<C> watch(0);
    simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
      watch += panel(registers, j, between);
    });
    return state_finite(watch, static_cast<const C*>(out), n);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
