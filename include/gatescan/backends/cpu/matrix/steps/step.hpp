#pragma once
// Matrix states, one token, on a state in memory: the definition itself,
//
//   S[K, V] = a[K] S + k[K] v[V]^T      o[V] = Re(S^T q[K])
//
// A gate of exactly 0 selects the new input.

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

// S = a S + k v and o = Re(q^T S) for one token; columns [j, j + Vecs registers).
template <bool IsComplex, std::size_t Vecs, class C>
GATESCAN_INLINE void step_columns(const matrix_tiles<C>& x, index_t t, index_t j,
                                  const state_rows<C>& state) {
  using P = simd::pack<C>;
  const matrix_shape& n = x.n;
  const C *q = x.q + t * n.rows, *k = x.k + t * n.rows, *a = x.a + t * n.rows;
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
    const auto advance = [&]<bool Reset>() __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (std::size_t c = 0; c < Vecs; ++c) {
        const index_t column = index_t(c) * simd::lanes<C>;
        auto s =
            added_by(key, simd::load(v + column));  // read again for every key: registers hold o
        if constexpr (IsComplex) {
          C *at = row + column, *at_im = row_im + i * pitch + column;
          if (!Reset) s = fma(gate, cplx<P>{simd::load(at), simd::load(at_im)}, s);
          simd::store(at, s.re);
          simd::store(at_im, s.im);
        } else {
          if (!Reset) s = simd::fma(gate, simd::load(row + column), s);
          simd::store(row + column, s);
        }
        o[c] = add_real_product(query, s, o[c]);
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
template <bool IsComplex, class C>
void step_token(const matrix_tiles<C>& x, index_t t, const state_rows<C>& state) {
  constexpr std::size_t wide = IsComplex || simd::register_count < 16 ? 4 : 8;
  const index_t width = simd::lanes<C>, end = x.n.value_pitch;
  index_t j = 0;
  for (; j + index_t(wide) * width <= end; j += index_t(wide) * width)
    step_columns<IsComplex, wide>(x, t, j, state);
  for (; j + 2 * width <= end; j += 2 * width) step_columns<IsComplex, 2>(x, t, j, state);
  for (; j < end; j += width) step_columns<IsComplex, 1>(x, t, j, state);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
