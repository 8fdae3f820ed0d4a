#pragma once
// Products of tiles in shared memory, C (M x N) += A^T B with A [depth][M] and B [depth][N], whose
// sums the 128 threads of a block hold in registers; or the four warps' matrix units
// (warp_product).

#include "tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

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

/// How a config multiplies tiles of M rows and N columns; Exactly: with no error but that of float,
/// unless tf32 was asked for.
template <class Kit, int M, int N, bool Exactly = false>
using product_sums =
    std::conditional_t<Kit::by_warps && M == 64,
                       sums_by_warps<typename Kit::template warp_products<N, Exactly>>,
                       tile_sums<typename Kit::C, M, N>>;

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
