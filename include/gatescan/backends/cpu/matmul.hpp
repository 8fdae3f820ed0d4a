#pragma once
// Small matrix products on padded tiles: out[m x n] += a[m x depth] b[depth x n], n a whole number
// of registers. The left operand has two strides, so a transpose is free; its numbers are
// broadcast.

#include "pack.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {

// element (m, k) at data[m * row + k * depth]
template <class T>
struct left {
  const T* data;
  index_t row, depth;
};
// a row-major matrix
template <class T>
struct matrix {
  T* data;
  index_t pitch;
};

namespace detail {

template <std::size_t Rows, std::size_t Vecs, class T>
GATESCAN_INLINE void add_product_block(index_t depth, const T* a, index_t row, index_t step,
                                       const T* b, index_t pitch, T* out, index_t out_pitch) {
  pack<T> c[Rows][Vecs];
#pragma GCC unroll 8
  for (index_t m = 0; m < index_t{Rows}; ++m)
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) c[m][n] = load(out + m * out_pitch + n * lanes<T>);
  for (index_t k = 0; k < depth; ++k) {
    pack<T> right[Vecs];
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) right[n] = load(b + k * pitch + n * lanes<T>);
#pragma GCC unroll 8
    for (index_t m = 0; m < index_t{Rows}; ++m) {
      const pack<T> x(a[m * row + k * step]);
#pragma GCC unroll 4
      for (index_t n = 0; n < index_t{Vecs}; ++n) c[m][n] = fma(x, right[n], c[m][n]);
    }
  }
#pragma GCC unroll 8
  for (index_t m = 0; m < index_t{Rows}; ++m)
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) store(out + m * out_pitch + n * lanes<T>, c[m][n]);
}

template <std::size_t Vecs, class T>
GATESCAN_INLINE void add_product_panel(index_t rows, index_t depth, left<T> a, const T* b,
                                       index_t pitch, T* out, index_t out_pitch) {
  constexpr std::size_t block = Vecs == 1 ? 8 : 4;
  index_t m = 0;
  for (; m + index_t{block} <= rows; m += index_t{block})
    add_product_block<block, Vecs>(depth, a.data + m * a.row, a.row, a.depth, b, pitch,
                                   out + m * out_pitch, out_pitch);
  for (; m < rows; ++m)
    add_product_block<1, Vecs>(depth, a.data + m * a.row, a.row, a.depth, b, pitch,
                               out + m * out_pitch, out_pitch);
}

}  // namespace detail

/// out[rows x columns] += a[rows x depth] b[depth x columns]
template <class T>
void add_product(index_t rows, index_t columns, index_t depth, left<T> a, matrix<const T> b,
                 matrix<T> out) {
  constexpr std::size_t widest =
      register_count >= 32 ? 4 : 3;  // rows x widest accumulators, one row of b, one broadcast
  index_t j = 0;
  for (; j + index_t{widest} * lanes<T> <= columns; j += index_t{widest} * lanes<T>)
    detail::add_product_panel<widest>(rows, depth, a, b.data + j, b.pitch, out.data + j, out.pitch);
  for (; j + 2 * lanes<T> <= columns; j += 2 * lanes<T>)
    detail::add_product_panel<2>(rows, depth, a, b.data + j, b.pitch, out.data + j, out.pitch);
  for (; j < columns; j += lanes<T>)
    detail::add_product_panel<1>(rows, depth, a, b.data + j, b.pitch, out.data + j, out.pitch);
}

/// out[t] += sum over s <= t of a(t, s) b[s]. Never touches s > t: NaN there must not reach row t.
template <class T>
void add_lower_product(index_t rows, index_t columns, left<T> a, matrix<const T> b, matrix<T> out) {
  for (index_t t = 0; t < rows; t += 4) {
    const index_t n = rows - t < 4 ? rows - t : 4;
    add_product<T>(n, columns, t, {a.data + t * a.row, a.row, a.depth}, b,
                   {out.data + t * out.pitch, out.pitch});
    for (index_t i = t; i < t + n; ++i)
      add_product<T>(1, columns, i + 1 - t, {a.data + i * a.row + t * a.depth, a.row, a.depth},
                     {b.data + t * b.pitch, b.pitch}, {out.data + i * out.pitch, out.pitch});
  }
}

/// out[s] += sum over t >= s of a(t, s) b[t], t < rows: the transpose of the above.
template <class T>
void add_upper_product(index_t rows, index_t columns, left<T> a, matrix<const T> b, matrix<T> out) {
  for (index_t s = 0; s < rows; ++s)
    add_product<T>(1, columns, rows - s, {a.data + s * a.row + s * a.depth, a.depth, a.row},
                   {b.data + s * b.pitch, b.pitch}, {out.data + s * out.pitch, out.pitch});
}

/// to[j][i] = from[i][j], i < rows, j < columns
template <class T>
void transpose(index_t rows, index_t columns, matrix<const T> from, matrix<T> to) {
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < columns; ++j) to.data[j * to.pitch + i] = from.data[i * from.pitch + j];
}

}  // namespace simd
}  // namespace GATESCAN_ABI
}  // namespace gatescan
