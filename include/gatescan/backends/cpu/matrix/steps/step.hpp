#pragma once
// Matrix states, one token, on a state in memory: the definition itself,
//
//   S_t[K, V] = a[K] S_{t-1} + k[K] v[V]^T
//   o[V] = Re(S_t^T q[K]), or with readout::exclusive Re((S_{t-1} + own[K] v^T)^T q)
//
// A gate of exactly 0 selects the new input.

#include "../../../../core/gated_product.hpp"
#include "../tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Key m of a row, in every lane; the imaginary part `im` numbers on.
template <bool IsComplex, class C>
GATESCAN_INLINE element_t<C, IsComplex> key_in_all_lanes(const C* row, index_t m, index_t im) {
  if constexpr (IsComplex)
    return {simd::pack<C>(row[m]), simd::pack<C>(row[im + m])};
  else
    return simd::pack<C>(row[m]);
}
template <bool IsComplex, class C>
GATESCAN_INLINE bool resets(const C* gates, index_t m, index_t im) {
  return gates[m] == 0 && (!IsComplex || gates[im + m] == 0);
}

// What a token adds to a state. Where multiply-adds are left to the compiler it is rounded alone:
// the code around it would decide which of two products goes into one, and bits depend on that.
template <class C>
GATESCAN_INLINE simd::pack<C> added_by(simd::pack<C> key, simd::pack<C> value) {
#if defined(__SSE2__)
  return key * value;
#else
  return simd::rounded(key * value);
#endif
}
template <class C>
GATESCAN_INLINE cplx<simd::pack<C>> added_by(cplx<simd::pack<C>> key, simd::pack<C> value) {
  return {added_by(key.re, value), added_by(key.im, value)};
}

// Where a state lies: rows of values, `pitch` apart, one or two planes.
template <class C>
struct state_rows {
  C *re, *im;
  index_t pitch;
};

template <bool IsComplex, class C>
GATESCAN_INLINE element_t<C, IsComplex> load_parts(const C* re, const C* im) {
  if constexpr (IsComplex)
    return {simd::load(re), simd::load(im)};
  else
    return simd::load(re);
}
template <bool IsComplex, class C>
GATESCAN_INLINE void store_parts(C* re, C* im, element_t<C, IsComplex> x) {
  if constexpr (IsComplex) {
    simd::store(re, x.re);
    simd::store(im, x.im);
  } else {
    simd::store(re, x);
  }
}

// S and o of one token; columns [j, j + Vecs registers).
template <bool IsComplex, readout Reads, std::size_t Vecs, class C>
GATESCAN_INLINE void step_columns(const matrix_tiles<C>& x, index_t t, index_t j,
                                  const state_rows<C>& state) {
  using P = simd::pack<C>;
  const matrix_shape& n = x.n;
  const C *q = x.q + t * n.rows, *k = x.k + t * n.rows, *a = x.a + t * n.rows;
  constexpr bool exclusive = Reads == readout::exclusive;
  const C* const own = exclusive ? x.own + t * n.rows : nullptr;
  const index_t im = n.key_pitch, keys = n.keys, pitch = state.pitch;
  const C* const v = x.v + t * n.value_pitch + j;
  P o[Vecs];
#pragma GCC unroll 8
  for (std::size_t c = 0; c < Vecs; ++c) o[c] = P(0);
  C* row = state.re + j;
  C* row_im = IsComplex ? state.im + j : nullptr;
  for (index_t i = 0; i < keys; ++i, row += pitch) {
    // read once: what is stored to might otherwise be these
    const auto gate = key_in_all_lanes<IsComplex>(a, i, im),
               key = key_in_all_lanes<IsComplex>(k, i, im),
               query = key_in_all_lanes<IsComplex>(q, i, im);
    const auto own_key = key_in_all_lanes<IsComplex>(exclusive ? own : k, i, im);
    const auto advance = [&]<bool Reset>() __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (std::size_t c = 0; c < Vecs; ++c) {
        const index_t column = index_t(c) * simd::lanes<C>;
        const P value = simd::load(v + column);  // read again for every key: registers hold o
        C* const at_im = IsComplex ? row_im + i * pitch + column : nullptr;
        const auto before = load_parts<IsComplex>(row + column, at_im);
        if (exclusive) o[c] = add_real_product(query, before + added_by(own_key, value), o[c]);
        auto s = added_by(key, value);
        if (!Reset) s = fma(gate, before, s);
        store_parts<IsComplex>(row + column, at_im, s);
        if (!exclusive) o[c] = add_real_product(query, s, o[c]);
      }
    };
    if (resets<IsComplex>(a, i, im))
      advance.template operator()<true>();
    else
      advance.template operator()<false>();
  }
#pragma GCC unroll 8
  for (std::size_t c = 0; c < Vecs; ++c)
    simd::store(x.o + t * n.value_pitch + j + index_t(c) * simd::lanes<C>, o[c]);
}

/// Token t: advances the state in place and writes o.
template <bool IsComplex, readout Reads, class C>
void step_token(const matrix_tiles<C>& x, index_t t, const state_rows<C>& state) {
  constexpr std::size_t wide = IsComplex || simd::register_count < 16 ? 4 : 8;
  const index_t width = simd::lanes<C>, end = x.n.value_pitch;
  index_t j = 0;
  for (; j + index_t(wide) * width <= end; j += index_t(wide) * width)
    step_columns<IsComplex, Reads, wide>(x, t, j, state);
  for (; j + 2 * width <= end; j += 2 * width) step_columns<IsComplex, Reads, 2>(x, t, j, state);
  for (; j < end; j += width) step_columns<IsComplex, Reads, 1>(x, t, j, state);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
