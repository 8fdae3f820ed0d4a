#pragma once
// Matrix states, what the programs share: sizes of tiles, numbers that may be complex as rows of
// real ones, and the tile of a matrix product that a block's threads hold in registers.

#include "../gradients.hpp"
#include "chunks.hpp"
#include "warp_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Operands in float whose products are made in tf32: a format of its own to the programs.
template <class T>
struct with_tf32 {};
template <class T>
struct format<with_tf32<T>> : format<T> {};
template <class T>
inline constexpr bool is_tf32 = false;
template <class T>
inline constexpr bool is_tf32<with_tf32<T>> = true;

template <class R, class T>
struct matrix_types {
  static constexpr bool complex = R::form.number == numbers::complex;
  using problem = problem_of<R, T>;
  using C = state_t<T>;
  using S = storage_t<T>;
  using E = typename element_type<C, complex>::type;
  using D = typename element_type<double, complex>::type;
  using at = place<C, complex>;
  using fields = typename R::template fields<operand<const S>>;
  using sinks = typename R::template fields<gradient_sink<C, S>>;
  using sums = typename R::template fields<accumulator<C>>;
  using operands_to = typename R::template fields<operand<S>>;

  static constexpr int planes = complex ? 2 : 1;
  static constexpr int threads = 128;
  static constexpr int sub = 16;                           // tokens that meet one by one
  static constexpr int tokens = 64;                        // tokens of a tile
  static constexpr int rows = sizeof(C) == 8 ? 32 : 64;    // real rows of a tile of keys
  static constexpr int keys = rows / planes;               // keys of a tile
  static constexpr int values = sizeof(C) == 8 ? 32 : 64;  // values of a tile
  // operands that are short anyway are multiplied in bfloat16, each number as two of them
  static constexpr bool in_tf32 = is_tf32<T>;
  static constexpr bool by_warps = (sizeof(S) == 2 && sizeof(C) == 4) || in_tf32;
  template <int N, bool Exactly = false>
  using warp_products = std::conditional_t<in_tf32, tf32_sums<N>, warp_sums<N, Exactly>>;
  // Lanes of a matrix unit read 8 numbers of every second row of an array (in tf32 of every row):
  // so far apart are rows that they meet all banks.
  static constexpr int apart = in_tf32 ? 8 : 4;
  static constexpr int row_pitch = rows + apart, value_pitch = values + apart,
                       score_pitch = tokens + apart;
  static constexpr int key_side_rows = rows / 2, key_side_keys = keys / 2;
};

/// An array that a thread keeps in registers.
template <class C, int N>
using registers = C[static_cast<std::size_t>(N)];

// ---- numbers

GATESCAN_HD inline bool is_zero(float x) { return x == 0; }
GATESCAN_HD inline bool is_zero(double x) { return x == 0; }
template <class C>
GATESCAN_HD bool is_zero(cplx<C> x) {
  return x.re == 0 && x.im == 0;
}
GATESCAN_HD inline bool is_finite(float x) { return x - x == 0; }
GATESCAN_HD inline bool is_finite(double x) { return x - x == 0; }
template <class C>
GATESCAN_HD bool is_finite(cplx<C> x) {
  return is_finite(x.re) && is_finite(x.im);
}
/// gate * x; exactly 0 where the gate is, whatever x is.
template <class E>
GATESCAN_HD E decayed(E gate, E x) {
  return is_zero(gate) ? E{} : gate * x;
}

template <class E, class C>
GATESCAN_HD E real_number(C x) {
  if constexpr (std::is_same_v<E, C>)
    return x;
  else
    return E{x, C(0)};
}
template <class To, class From>
GATESCAN_HD To converted(From x) {
  if constexpr (requires { x.re; })
    return {static_cast<decltype(To{}.re)>(x.re), static_cast<decltype(To{}.re)>(x.im)};
  else
    return static_cast<To>(x);
}

/// An array of numbers as rows of real ones: `plane` further on lie the imaginary parts.
template <class E, class Array>
GATESCAN_HD E number_at(const Array& x, index_t at, index_t plane) {
  if constexpr (requires(E e) { e.re; }) {
    using C = decltype(E{}.re);
    const C re = x[at], im = x[at + plane];
    return {re, im};
  } else {
    return x[at];
  }
}
template <class E, class Array>
GATESCAN_HD void put_number(const Array& x, index_t at, index_t plane, E number) {
  if constexpr (requires { number.re; }) {
    x[at] = number.re;
    x[at + plane] = number.im;
  } else {
    x[at] = number;
  }
}

// ---- operands of one head

template <class R, class T>
GATESCAN_HD auto head_operands(const problem_of<R, T>& p, index_t batch, index_t head) {
  auto x = p.x;
  R::operands([&](const char*, const axes&, presence, const auto& all,
                  auto& lane) { lane = all.of_head(batch, head, 0); },
              p.x, x);
  return x;
}

/// The state of one sequence's head in the caller's memory; 0 where it is not given.
template <class E, class C>
GATESCAN_HD E load_state(const operand<const C>& from, index_t sequence, index_t head, index_t key,
                         index_t value) {
  if (!from.given) return E{};
  return place<C, !std::is_same_v<E, C>>{sequence, 0, head, key, value}.element(from);
}
template <class E, class C>
GATESCAN_HD void store_state(const operand<C>& to, index_t sequence, index_t head, index_t key,
                             index_t value, E x) {
  if (!to.given) return;
  const index_t o = to.offset(sequence, 0, head) + key * to.key + value * to.value;
  if constexpr (requires { x.re; }) {
    to.re[o] = x.re;
    if (to.im != nullptr) to.im[o] = x.im;
  } else {
    to.re[o] = x;
  }
}

// ---- products

/// M x N sums, spread over 128 threads: 8 rows and 16 columns of threads.
template <class C, int M, int N>
struct tile_sums {
  static constexpr int rows = M / 8, columns = N / 16;
  registers<registers<C, columns>, rows> sum = {};

  GATESCAN_HD static int row(int thread, int m) { return thread / 16 + 8 * m; }
  GATESCAN_HD static int column(int thread, int n) { return thread % 16 + 16 * n; }

  /// += sum over d of a[d][row] b[d][column]
  template <class Block, class A, class B>
  GATESCAN_HD void add(Block& block, int depth, const A& a, int a_pitch, const B& b, int b_pitch) {
    add(block, 0, M, depth, a, a_pitch, b, b_pitch);
  }
  /// The same for rows [first, last), multiples of 8.
  template <class Block, class A, class B>
  GATESCAN_HD void add(Block& block, int first, int last, int depth, const A& a, int a_pitch,
                       const B& b, int b_pitch) {
    const int thread = block.thread();
    for (int d = 0; d < depth; ++d) {
      registers<C, columns> y;
      for (int n = 0; n < columns; ++n) y[n] = b[d * b_pitch + column(thread, n)];
      for (int m = 0; m < rows; ++m) {
        if (8 * m < first || 8 * m >= last) continue;
        const C x = a[d * a_pitch + row(thread, m)];
        for (int n = 0; n < columns; ++n) sum[m][n] = fma(x, y[n], sum[m][n]);
      }
    }
  }
  /// f(row, column, sum)
  template <class F>
  GATESCAN_HD void for_each(int thread, F f) const {
    for (int m = 0; m < rows; ++m)
      for (int n = 0; n < columns; ++n) f(row(thread, m), column(thread, n), sum[m][n]);
  }
};

/// How a kit multiplies tiles of M rows and N columns; Exactly: with no error but that of float,
/// unless tf32 was asked for.
template <class Kit, int M, int N, bool Exactly = false>
using product_sums =
    std::conditional_t<Kit::by_warps && M == 64,
                       sums_by_warps<typename Kit::template warp_products<N, Exactly>>,
                       tile_sums<typename Kit::C, M, N>>;

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
