#pragma once
// Small matrix products on padded tiles: out[m x n] += a[m x depth] b[depth x n], n a whole number
// of registers. The left operand has two strides, so a transpose is free; its numbers are
// broadcast.

#include <type_traits>

#include "lanes.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {

// Element (m, k) at data[m * row + k * depth]. A stride that is known to be 1 saves the kernel its
// address arithmetic: with a unit row stride 0.9 of the FMA rate instead of 0.7 (32 x 128 x 128,
// AVX2).
using unit = std::integral_constant<index_t, 1>;
template <class T, class Row = index_t, class Depth = index_t>
struct left {
  const T* data;
  Row row;
  Depth depth;

  left from_row(index_t m) const { return {data + m * row, row, depth}; }
};
template <class T>
left<T, unit, index_t> by_columns(const T* data, index_t pitch) {  // element (m, k) at [k][m]
  return {data, {}, pitch};
}
template <class T>
left<T, index_t, unit> by_rows(const T* data, index_t pitch) {  // element (m, k) at [m][k]
  return {data, pitch, {}};
}
// a row-major matrix
template <class T>
struct matrix {
  T* data;
  index_t pitch;
};

namespace detail {

// Of the last (lower) or first (upper) Rows columns of `a` only the triangle k <= m (k >= m) is
// multiplied: NaN on the other side must not get through, not even times 0.
enum class shape { full, lower, upper };

// One block of registers: a b from zero, then finish(row, column, sum) is stored. `watch` becomes
// NaN where that, or a sum of some rows of it, is not finite.
template <std::size_t Rows, std::size_t Vecs, shape Shape, class T, class Row, class Depth,
          class Finish>
GATESCAN_INLINE void product_block(index_t depth, left<T, Row, Depth> a, const T* b, index_t pitch,
                                   T* out, index_t out_pitch, Finish finish, pack<T>& watch) {
  pack<T> c[Rows][Vecs];
#pragma GCC unroll 16
  for (index_t m = 0; m < index_t{Rows}; ++m)
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) c[m][n] = pack<T>(0);
  const auto add = [&](index_t k, index_t first, index_t last) __attribute__((always_inline)) {
    pack<T> right[Vecs];
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) right[n] = load(b + k * pitch + n * lanes<T>);
#pragma GCC unroll 16
    for (index_t m = 0; m < index_t{Rows}; ++m) {
      if (m < first || m >= last) continue;
      const pack<T> x(a.data[m * a.row + k * a.depth]);
#pragma GCC unroll 4
      for (index_t n = 0; n < index_t{Vecs}; ++n) c[m][n] = fma(x, right[n], c[m][n]);
    }
  };
  constexpr index_t rows = Rows, triangle = Shape == shape::full ? 0 : rows;
  index_t done = 0;
  // Few columns and rows of `a` that lie apart: their addresses are most of the work, so each
  // serves several numbers (AVX-512, gla backward, by profile: 0.4 of the FMA rate becomes 0.8).
  constexpr index_t together = Vecs == 1 ? 4 : 2;
  if constexpr (Shape == shape::full && Vecs <= 2 && std::is_same_v<Depth, unit> &&
                register_count >= 32)
    for (; done + together <= depth; done += together) {
      pack<T> right[static_cast<std::size_t>(together)][Vecs];
#pragma GCC unroll 4
      for (index_t k = 0; k < together; ++k)
#pragma GCC unroll 2
        for (index_t n = 0; n < index_t{Vecs}; ++n)
          right[k][n] = load(b + (done + k) * pitch + n * lanes<T>);
      const T* row = a.data + done;
#pragma GCC unroll 16
      for (index_t m = 0; m < rows; ++m, row += a.row)
#pragma GCC unroll 4
        for (index_t k = 0; k < together; ++k) {
          const pack<T> x(row[k]);
#pragma GCC unroll 2
          for (index_t n = 0; n < index_t{Vecs}; ++n) c[m][n] = fma(x, right[k][n], c[m][n]);
        }
    }
  if constexpr (Shape == shape::upper)
#pragma GCC unroll 8
    for (index_t k = 0; k < rows; ++k) add(k, 0, k + 1);
  const index_t begin = Shape == shape::upper ? triangle : done;
  const index_t end = Shape == shape::lower ? depth - triangle : depth;
  // four at a time: with 6 x 2 and depth 128, 0.83 of the FMA rate becomes 0.96, with depth 16 4 %
  // more than two at a time
#pragma GCC unroll 4
  for (index_t k = begin; k < end; ++k) add(k, 0, rows);
  if constexpr (Shape == shape::lower)
#pragma GCC unroll 8
    for (index_t k = 0; k < rows; ++k) add(end + k, k, rows);
  // A row at a time, its numbers read before its registers are stored: compilers take what is
  // stored for anything that is read. The watch is one sum a column, or each addition waits for the
  // one before; it is added to in turn, as compilers would else keep every x for the end.
  pack<T> seen[Vecs];
#pragma GCC unroll 4
  for (index_t n = 0; n < index_t{Vecs}; ++n) seen[n] = pack<T>(0);
#pragma GCC unroll 16
  for (index_t m = 0; m < index_t{Rows}; ++m) {
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) c[m][n] = finish(m, n * lanes<T>, c[m][n]);
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs}; ++n) {
      store(out + m * out_pitch + n * lanes<T>, c[m][n]);
      seen[n] = rounded(seen[n] + c[m][n]);
    }
  }
#pragma GCC unroll 4
  for (index_t n = 0; n < index_t{Vecs}; ++n) watch = watch + (seen[n] - seen[n]);
}

// Rows a block: accumulators fill the registers beside one row of b and one broadcast. With 16
// registers 6 x 2 reached 0.9 of the FMA rate, 4 x 3 and 4 x 2 0.5 to 0.6. 16 x 1 leaves no rows
// over where 24 x 1 leaves 8 of 128.
constexpr index_t block_rows(index_t registers) {
  if (register_count < 32) return registers == 2 ? 6 : 8;
  return registers == 1 ? 16 : registers == 2 ? 8 : 24 / registers;
}

// A finish that holds pointers can move them on: with places inside a block that are known when it
// is compiled the update of states is 8 % faster (128 x 128 x 16, AVX-512).
template <class Finish>
GATESCAN_INLINE auto from_row(const Finish& finish, index_t m) {
  if constexpr (requires { finish.from_row(m); })
    return finish.from_row(m);
  else
    return [m, finish](index_t i, index_t j, auto c) { return finish(m + i, j, c); };
}

// Rows of results that lie far from the first cache are asked for some blocks before.
template <std::size_t Rows, std::size_t Vecs, class T>
GATESCAN_INLINE void ask_for_rows(const T* first, index_t pitch) {
  constexpr index_t line = 64 / index_t{sizeof(T)};
#pragma GCC unroll 16
  for (index_t m = 0; m < index_t{Rows}; ++m)
#pragma GCC unroll 4
    for (index_t n = 0; n < index_t{Vecs} * lanes<T>; n += line)
      __builtin_prefetch(first + m * pitch + n, 1);
}

// Not inlined: with a caller's values about, strides are reloaded in the innermost loop. All its
// blocks are, or each of them reloads what it was called with (update of states 0.75 of the FMA
// rate, else 0.8; 128 x 64 x 16, AVX-512).
template <std::size_t Vecs, class T, class Row, class Depth, class Finish, class Between>
__attribute__((noinline)) pack<T> product_panel(index_t rows, index_t depth, left<T, Row, Depth> a,
                                                const T* b, index_t pitch, T* out,
                                                index_t out_pitch, Finish finish, Between between) {
  pack<T> watch(0);
  index_t m = 0;
  const auto take = [&]<std::size_t Rows>(index_t until) __attribute__((always_inline)) {
    for (; m + index_t{Rows} <= until; m += index_t{Rows}) {
      if constexpr (requires { finish.writes_far; }) {
        constexpr index_t ahead = 4 * index_t{Rows};
        if (finish.writes_far && m + ahead + index_t{Rows} <= rows)
          ask_for_rows<Rows, Vecs>(out + (m + ahead) * out_pitch, out_pitch);
      }
      product_block<Rows, Vecs, shape::full>(depth, a.from_row(m), b, pitch, out + m * out_pitch,
                                             out_pitch, from_row(finish, m), watch);
      between();
    }
  };
  constexpr index_t most = block_rows(index_t{Vecs});
  // two blocks of 4 rather than 6 and 2: few accumulators wait for each other
  const index_t fours = most == 6 && rows % 6 == 2 ? 8 : rows % most;
  take.template operator()<static_cast<std::size_t>(most)>(rows - fours);
  take.template operator()<4>(rows);
  take.template operator()<1>(rows);
  return watch;
}

// out[n][m] = sum_i x_m[i] y_n[i]
template <std::size_t Rows, std::size_t Columns, class T>
GATESCAN_INLINE void dot_block(index_t depth, const T* x, index_t x_pitch, const T* y,
                               index_t y_pitch, T* out, index_t out_pitch) {
  constexpr index_t rows = Rows, columns = Columns;
  pack<T> c[Rows * Columns];
#pragma GCC unroll 16
  for (index_t m = 0; m < rows * columns; ++m) c[m] = pack<T>(0);
  for (index_t i = 0; i < depth; i += lanes<T>) {
    pack<T> right[Columns];
#pragma GCC unroll 4
    for (index_t n = 0; n < columns; ++n) right[n] = load(y + n * y_pitch + i);
#pragma GCC unroll 4
    for (index_t m = 0; m < rows; ++m) {
      const pack<T> l = load(x + m * x_pitch + i);
#pragma GCC unroll 4
      for (index_t n = 0; n < columns; ++n) c[n * rows + m] = fma(l, right[n], c[n * rows + m]);
    }
  }
  alignas(register_bytes) T sums[Rows * Columns];
  sum_each(c, sums);
#pragma GCC unroll 4
  for (index_t n = 0; n < columns; ++n)
    __builtin_memcpy(out + n * out_pitch, sums + n * rows, Rows * sizeof(T));
}

}  // namespace detail

/// Registers a panel of columns is wide, at most.
inline constexpr index_t widest_panel = register_count >= 32 ? 4 : 2;

/// f(j, registers) for panels of columns.
template <class T, class F>
GATESCAN_INLINE void for_each_panel(index_t columns, F&& f) {
  constexpr index_t width = widest_panel * lanes<T>;
  for (index_t j = 0; j < columns; j += width)
    f(j, columns - j < width ? (columns - j) / lanes<T> : widest_panel);
}

struct nothing_between {
  GATESCAN_INLINE void operator()() const {}
};
/// How often `between` is called for so many rows of a panel, about.
inline index_t row_blocks(index_t rows, index_t registers = widest_panel) {
  const index_t block = detail::block_rows(registers);
  return (rows + block - 1) / block;
}

/// out = finish(row, column, (a b)(row, column)) for one panel, a register at a time. `finish`
/// should hold values, not references: what is stored might otherwise be what they refer to.
/// between() is called after every few rows. Returns zeros, or NaN where `out` is not finite
/// (or where finite rows of it are, added up).
template <class T, class Row, class Depth, class Finish, class Between = nothing_between>
pack<T> product_of_panel(index_t registers, index_t rows, index_t depth, left<T, Row, Depth> a,
                         matrix<const T> b, matrix<T> out, Finish finish, Between between = {}) {
  const auto run = [&]<std::size_t Vecs>() {
    return detail::product_panel<Vecs>(rows, depth, a, b.data, b.pitch, out.data, out.pitch, finish,
                                       between);
  };
  if (registers == 1) return run.template operator()<1>();
  if (registers == 2) return run.template operator()<2>();
  if constexpr (widest_panel == 4) {
    if (registers == 3) return run.template operator()<3>();
    if (registers == 4) return run.template operator()<4>();
  }
  return pack<T>(0);
}

/// out[rows x columns] += a[rows x depth] b[depth x columns]
template <class T, class Row, class Depth, class Between = nothing_between>
void add_product(index_t rows, index_t columns, index_t depth, left<T, Row, Depth> a,
                 matrix<const T> b, matrix<T> out, Between between = {}) {
  for_each_panel<T>(columns, [&](index_t j, index_t registers) {
    product_of_panel(
        registers, rows, depth, a, matrix<const T>{b.data + j, b.pitch},
        matrix<T>{out.data + j, out.pitch},
        [=](index_t m, index_t n, pack<T> c) { return load(out.data + m * out.pitch + j + n) + c; },
        between);
  });
}

/// out[n][m] = sum_i x_m[i] y_n[i], m < rows, n < columns, over rows of whole registers.
template <class T>
void dot_products(index_t rows, index_t columns, index_t depth, matrix<const T> x,
                  matrix<const T> y, matrix<T> out) {
  constexpr index_t wide = lanes<T> >= 16 ? 4 : 2;  // 4 x wide sums are whole registers
  const index_t fours = rows / 4 * 4;
  const auto take = [&]<std::size_t Rows, std::size_t Columns>(index_t m, index_t n) {
    detail::dot_block<Rows, Columns>(depth, x.data + m * x.pitch, x.pitch, y.data + n * y.pitch,
                                     y.pitch, out.data + n * out.pitch + m, out.pitch);
  };
  for (index_t m = 0; m < fours; m += 4) {
    const index_t whole = columns / wide * wide;
    for (index_t n = 0; n < whole; n += wide)
      take.template operator()<4, static_cast<std::size_t>(wide)>(m, n);
    for (index_t n = whole; n < columns; ++n) take.template operator()<4, 1>(m, n);
  }
  for (index_t m = fours; m < rows; ++m)
    for (index_t n = 0; n < columns; ++n) take.template operator()<1, 1>(m, n);
}

/// out[rows x columns] = a[rows x depth] b[depth x columns]
template <class T, class Row, class Depth, class Between = nothing_between>
void set_product(index_t rows, index_t columns, index_t depth, left<T, Row, Depth> a,
                 matrix<const T> b, matrix<T> out, Between between = {}) {
  for_each_panel<T>(columns, [&](index_t j, index_t registers) {
    product_of_panel(
        registers, rows, depth, a, matrix<const T>{b.data + j, b.pitch},
        matrix<T>{out.data + j, out.pitch}, [](index_t, index_t, pack<T> c) { return c; }, between);
  });
}

namespace detail {

// Rows of a triangle: four at a time, the rest one by one.
template <shape Shape, class T, class Row, class Depth, class Finish>
__attribute__((noinline)) void triangle_panel(index_t registers, index_t rows,
                                              left<T, Row, Depth> a, matrix<const T> b,
                                              matrix<T> out, Finish finish) {
  pack<T> watch(0);
  const auto take = [&]<std::size_t Rows, std::size_t Vecs>(index_t m) {
    const index_t first = Shape == shape::lower ? 0 : m;
    const index_t depth = Shape == shape::lower ? m + index_t{Rows} : rows - m;
    const left<T, Row, Depth> here{a.data + m * a.row + first * a.depth, a.row, a.depth};
    product_block<Rows, Vecs, Shape>(depth, here, b.data + first * b.pitch, b.pitch,
                                     out.data + m * out.pitch, out.pitch, from_row(finish, m),
                                     watch);
  };
  const auto all = [&]<std::size_t Vecs>() {
    index_t m = 0;
    for (; m + 4 <= rows; m += 4) take.template operator()<4, Vecs>(m);
    for (; m < rows; ++m) take.template operator()<1, Vecs>(m);
  };
  if (registers == 1) return all.template operator()<1>();
  if (registers == 2) return all.template operator()<2>();
  if constexpr (widest_panel == 4) {
    if (registers == 3) return all.template operator()<3>();
    all.template operator()<4>();
  }
}

}  // namespace detail

/// out[t] = sum over s <= t of a(t, s) b[s]
template <class T, class Row, class Depth>
void set_lower_product(index_t rows, index_t columns, left<T, Row, Depth> a, matrix<const T> b,
                       matrix<T> out) {
  for_each_panel<T>(columns, [&](index_t j, index_t registers) {
    detail::triangle_panel<detail::shape::lower>(
        registers, rows, a, matrix<const T>{b.data + j, b.pitch},
        matrix<T>{out.data + j, out.pitch}, [](index_t, index_t, pack<T> c) { return c; });
  });
}

/// out[t] += sum over s <= t of a(t, s) b[s]
template <class T, class Row, class Depth>
void add_lower_product(index_t rows, index_t columns, left<T, Row, Depth> a, matrix<const T> b,
                       matrix<T> out) {
  for_each_panel<T>(columns, [&](index_t j, index_t registers) {
    detail::triangle_panel<detail::shape::lower>(
        registers, rows, a, matrix<const T>{b.data + j, b.pitch},
        matrix<T>{out.data + j, out.pitch}, [=](index_t m, index_t n, pack<T> c) {
          return load(out.data + m * out.pitch + j + n) + c;
        });
  });
}

/// out[s] += sum over t >= s of a(s, t) b[t], t < rows
template <class T, class Row, class Depth>
void add_upper_product(index_t rows, index_t columns, left<T, Row, Depth> a, matrix<const T> b,
                       matrix<T> out) {
  for_each_panel<T>(columns, [&](index_t j, index_t registers) {
    detail::triangle_panel<detail::shape::upper>(
        registers, rows, a, matrix<const T>{b.data + j, b.pitch},
        matrix<T>{out.data + j, out.pitch}, [=](index_t m, index_t n, pack<T> c) {
          return load(out.data + m * out.pitch + j + n) + c;
        });
  });
}

/// to[j][i] = from[i][j], i < rows, j < columns
template <class T>
void transpose(index_t rows, index_t columns, matrix<const T> from, matrix<T> to) {
  constexpr index_t n = lanes<T>;
  const index_t whole_rows = rows - rows % n, whole_columns = columns - columns % n;
  for (index_t i = 0; i < whole_rows; i += n) {
    for (index_t j = 0; j < whole_columns; j += n) {
      pack<T> x[static_cast<std::size_t>(n)];
#pragma GCC unroll 16
      for (index_t m = 0; m < n; ++m) x[m] = load(from.data + (i + m) * from.pitch + j);
      transpose(x);
#pragma GCC unroll 16
      for (index_t m = 0; m < n; ++m) store(to.data + (j + m) * to.pitch + i, x[m]);
    }
    for (index_t j = whole_columns; j < columns; ++j)
      for (index_t m = i; m < i + n; ++m) to.data[j * to.pitch + m] = from.data[m * from.pitch + j];
  }
  for (index_t i = whole_rows; i < rows; ++i)
    for (index_t j = 0; j < columns; ++j) to.data[j * to.pitch + i] = from.data[i * from.pitch + j];
}

}  // namespace simd
}  // namespace GATESCAN_ABI
}  // namespace gatescan
