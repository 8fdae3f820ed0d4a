#pragma once
// Rows of numbers in parts of bfloat16, as split_rows.hpp has them, for the products of four warps
// at once: 64 numbers a row, by squares of 8 x 8 (toolbox.hpp).

#include "split_rows.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// Where a square is, in pairs.
struct group_layout {
  static constexpr int width = 64, side = 8;
  // four pairs more: a row that a warp stores meets all banks
  static constexpr int column_step = side * side / 2 + 4, row_step = width / side * column_step;
  GATESCAN_HD static int eight(int row, int column) {  // of a row, in eights
    return row / side * (row_step / 4) + column * (column_step / 4) + row % side;
  }
  GATESCAN_HD static constexpr int pairs(int rows) { return rows / side * row_step; }
};
/// rows: a multiple of 16.
template <int Parts>
GATESCAN_HD constexpr int group_bytes(int rows) {
  return Parts * shared_size<bf16_pair>(group_layout::pairs(rows));
}

template <class Block, int Parts = 2>
class group_rows : group_layout {
  using array = decltype(std::declval<Block&>().template shared<bf16_pair>(1));

 public:
  static constexpr int parts = Parts;
  GATESCAN_HD group_rows(Block& block, int rows, int)
      : group_rows(block, rows, std::make_index_sequence<static_cast<std::size_t>(Parts)>{}) {}

  GATESCAN_HD void put(int row, int pair, const split_pair<Parts>& x) const {
    const int at = row / side * row_step + row % side * 4 + pair / 4 * column_step + pair % 4;
    unrolled<Parts>([&](int p) { part_[p][at] = x.of[p]; });
  }
  /// sum += a b, rows from `row` on being the depth of b: add_product of all 64 columns.
  template <int A>
  GATESCAN_HD void add_product_to(registers<float[2][4], 4>& sum, Block& block,
                                  const fragment_of_parts<A>& a, int row) const {
    static_assert(A >= Parts);  // so that the first product is that of its last part
    const int at = row / side * row_step;
    float step[8][4];
    block.begin_products();
    for_each_product<A, Parts>([&](int of_a, int of_b) {
      if (of_a == A - 1 && of_b == 0)
        block.template multiply_group<true>(step, a.of[of_a], part_[of_b], at, row_step,
                                            column_step);
      else
        block.template multiply_group<false>(step, a.of[of_a], part_[of_b], at, row_step,
                                             column_step);
    });
    block.end_products();
    for (int n = 0; n < 8; ++n)
      for (int i = 0; i < 4; ++i) sum[n / 2][n % 2][i] += step[n][i];
  }

 private:
  template <std::size_t... P>
  GATESCAN_HD group_rows(Block& block, int rows, std::index_sequence<P...>)
      : part_{(static_cast<void>(P), block.template shared<bf16_pair>(pairs(rows)))...} {}
  registers<array, Parts> part_;
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
