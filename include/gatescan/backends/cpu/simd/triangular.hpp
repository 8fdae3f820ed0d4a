#pragma once
// Unit triangular systems, solved in place: strips of four rows take what finished rows give them
// as a product and end with a triangle in registers. Nothing is divided, and what is not finite
// stays in its own column.

#include "matmul.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {

namespace detail {

// Rows of x from row m on, of `rows`: x[m] -= sum over finished rows k of a(m, k) x[k], those
// before the strip (lower) or after it (upper), then those of the strip itself in turn.
template <shape Shape, std::size_t Rows, std::size_t Vecs, class T, class Row, class Depth>
GATESCAN_INLINE void solve_strip(index_t m, index_t rows, left<T, Row, Depth> a, T* x,
                                 index_t pitch) {
  constexpr index_t count = Rows;
  constexpr bool lower = Shape == shape::lower;
  pack<T> c[Rows][Vecs];
  T* const strip = x + m * pitch;
#pragma GCC unroll 4
  for (index_t r = 0; r < count; ++r)
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) c[r][n] = load(strip + r * pitch + n * lanes<T>);
  const auto factor = [&](index_t r, index_t k) __attribute__((always_inline)) {
    return -pack<T>(a.data[(m + r) * a.row + k * a.depth]);
  };
  const index_t end = lower ? m : rows;
  for (index_t k = lower ? 0 : m + count; k < end; ++k) {
    pack<T> finished[Vecs];
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) finished[n] = load(x + k * pitch + n * lanes<T>);
#pragma GCC unroll 4
    for (index_t r = 0; r < count; ++r) {
      const pack<T> f = factor(r, k);
#pragma GCC unroll 4
      for (index_t n = 0; n < index_t{Vecs}; ++n) c[r][n] = fma(f, finished[n], c[r][n]);
    }
  }
#pragma GCC unroll 4
  for (index_t i = 0; i < count; ++i) {
    const index_t done = lower ? i : count - 1 - i;
#pragma GCC unroll 4
    for (index_t r = 0; r < count; ++r) {
      if (lower ? r <= done : r >= done) continue;
      const pack<T> f = factor(r, m + done);
#pragma GCC unroll 4
      for (index_t n = 0; n < index_t{Vecs}; ++n) c[r][n] = fma(f, c[done][n], c[r][n]);
    }
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n)
      store(strip + done * pitch + n * lanes<T>, c[done][n]);
  }
}

template <shape Shape, std::size_t Vecs, class T, class Row, class Depth>
__attribute__((noinline)) void solve_panel(index_t rows, left<T, Row, Depth> a, T* x,
                                           index_t pitch) {
  const index_t fours = rows / 4 * 4;
  const auto strip = [&]<std::size_t Rows>(index_t m) {
    solve_strip<Shape, Rows, Vecs>(m, rows, a, x, pitch);
  };
  if constexpr (Shape == shape::lower) {
    for (index_t m = 0; m < fours; m += 4) strip.template operator()<4>(m);
    for (index_t m = fours; m < rows; ++m) strip.template operator()<1>(m);
  } else {
    for (index_t m = rows - 1; m >= fours; --m) strip.template operator()<1>(m);
    for (index_t m = fours - 4; m >= 0; m -= 4) strip.template operator()<4>(m);
  }
}

template <shape Shape, class T, class Row, class Depth>
void solve_unit(index_t rows, index_t columns, left<T, Row, Depth> a, matrix<T> x) {
  for_each_panel<T>(columns, [&](index_t j, index_t registers) {
    const auto panel = [&]<std::size_t Vecs>() {
      solve_panel<Shape, Vecs>(rows, a, x.data + j, x.pitch);
    };
    if (registers == 1) return panel.template operator()<1>();
    if (registers == 2) return panel.template operator()<2>();
    if constexpr (widest_panel == 4) {
      if (registers == 3) return panel.template operator()<3>();
      panel.template operator()<4>();
    }
  });
}

}  // namespace detail

/// x = (I + a)^-1 x, a strictly lower triangular: of a(t, s) only s < t is read.
template <class T, class Row, class Depth>
void solve_unit_lower(index_t rows, index_t columns, left<T, Row, Depth> a, matrix<T> x) {
  detail::solve_unit<detail::shape::lower>(rows, columns, a, x);
}
/// x = (I + a)^-1 x, a strictly upper triangular: of a(s, t) only t > s is read.
template <class T, class Row, class Depth>
void solve_unit_upper(index_t rows, index_t columns, left<T, Row, Depth> a, matrix<T> x) {
  detail::solve_unit<detail::shape::upper>(rows, columns, a, x);
}

}  // namespace simd
}  // namespace GATESCAN_ABI
}  // namespace gatescan
