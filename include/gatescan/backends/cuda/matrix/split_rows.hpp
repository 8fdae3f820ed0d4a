#pragma once
// Tiles in shared memory whose numbers are sums of two bfloat16, made once where they are stored:
// rows of pairs, high halves and low halves apart, as matrix units load them. Products are those of
// warp_sums.

#include "../numbers.hpp"
#include "../tuning.hpp"
#include "warp_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

struct split_pair {
  bf16_pair high, low;
};
template <class Block>
GATESCAN_HD split_pair split(Block& block, float first, float second) {
  split_pair r;
  r.high = take_part(block, first, second);
  r.low = block.rounded(first, second);
  return r;
}

/// Operand a of a product 16 deep: 16 rows.
struct split_fragment {
  bf16_pair high[4], low[4];

  GATESCAN_HD void put(int n, const split_pair& x) { high[n] = x.high, low[n] = x.low; }
};
/// Operand b of it: two tiles of 8 columns.
struct split_columns {
  bf16_pair high[2][2], low[2][2];
};

/// sum += a b, of 16 columns. What a matrix unit adds is one step of the depth.
template <class Block>
GATESCAN_HD void add_product(Block& block, float (&sum)[2][4], const split_fragment& a,
                             const split_columns& b) {
  for (int tile = 0; tile < 2; ++tile) {
    float step[4] = {};
    block.multiply(step, a.low, b.high[tile]);
    block.multiply(step, a.high, b.low[tile]);
    block.multiply(step, a.high, b.high[tile]);
    for (int n = 0; n < 4; ++n) sum[tile][n] += step[n];
  }
}

// in pairs: eight rows of a matrix meet all banks
template <int Width>
inline constexpr int split_pitch = Width / 2 + 4;
template <int Width>
GATESCAN_HD constexpr int split_bytes(int rows) {
  return 2 * shared_size<bf16_pair>(rows * split_pitch<Width>);
}

/// Rows of Width numbers, a multiple of 16.
template <class Block, int Width>
class split_rows {
  using array = decltype(std::declval<Block&>().template shared<bf16_pair>(1));

 public:
  static constexpr int pitch = split_pitch<Width>;

  /// lane: the thread's; whoever finds it anew says so.
  GATESCAN_HD split_rows(Block& block, int rows, int lane)
      : high_(block.template shared<bf16_pair>(rows * pitch)),
        low_(block.template shared<bf16_pair>(rows * pitch)),
        lane_(lane) {}
  GATESCAN_HD void find_lane(int lane) { lane_ = lane; }

  GATESCAN_HD void put(int row, int pair, const split_pair& x) const {
    high_[row * pitch + pair] = x.high;
    low_[row * pitch + pair] = x.low;
  }
  GATESCAN_HD float_pair number(int row, int pair) const {
    const bf16_pair high = high_[row * pitch + pair], low = low_[row * pitch + pair];
    return {bits_as<float>(high.bits << 16) + bits_as<float>(low.bits << 16),
            bits_as<float>(high.bits & 0xffff0000u) + bits_as<float>(low.bits & 0xffff0000u)};
  }
  /// a is the 16 rows from `row` on, and its depth their numbers from d on.
  GATESCAN_HD split_fragment fragment(Block& block, int row, int d) const {
    const int at = (row + lane_ % 16) * pitch + d / 2 + lane_ / 16 * 4;
    split_fragment a;
    block.load_matrices(a.high, high_, at);
    block.load_matrices(a.low, low_, at);
    return a;
  }
  /// The depth of a is the 16 rows from d on, and its rows their numbers from `row` on.
  GATESCAN_HD split_fragment transposed_fragment(Block& block, int d, int row) const {
    const int at = (d + lane_ % 8 + lane_ / 16 * 8) * pitch + row / 2 + lane_ / 8 % 2 * 4;
    split_fragment a;
    block.load_transposed(a.high, high_, at);
    block.load_transposed(a.low, low_, at);
    return a;
  }
  /// Columns of b are the 16 rows from `row` on, and its depth their numbers from d on.
  GATESCAN_HD split_columns rows_as_columns(Block& block, int row, int d) const {
    const int at = (row + lane_ % 8 + lane_ / 16 * 8) * pitch + d / 2 + lane_ / 8 % 2 * 4;
    bf16_pair high[4], low[4];
    block.load_matrices(high, high_, at);
    block.load_matrices(low, low_, at);
    return columns_of(high, low);
  }
  /// The depth of b is the 16 rows from `row` on, and its columns their numbers from `column` on.
  GATESCAN_HD split_columns columns(Block& block, int row, int column) const {
    const int at = (row + lane_ % 16) * pitch + column / 2 + lane_ / 16 * 4;
    bf16_pair high[4], low[4];
    block.load_transposed(high, high_, at);
    block.load_transposed(low, low_, at);
    return columns_of(high, low);
  }

 private:
  GATESCAN_HD static split_columns columns_of(const bf16_pair (&high)[4],
                                              const bf16_pair (&low)[4]) {
    split_columns b;
    for (int n = 0; n < 4; ++n) b.high[n / 2][n % 2] = high[n], b.low[n / 2][n % 2] = low[n];
    return b;
  }
  array high_, low_;
  int lane_;
};

/// A lane's pair of numbers in each of the 16 rows from `row` on: load(row, i) of one, the i-th of
/// those that are read together.
template <class Block, class Rows, class Load>
GATESCAN_HD void put_rows(Block& block, const Rows& to, int row, int pair, const Load& load) {
  constexpr int together = tuned.tokens_together;
  for (int first = row; first < row + 16; first += together) {
    registers<float_pair, together> x;
    unrolled<together>([&](int i) { x[i] = load(first + i, i); });
    unrolled<together>(
        [&](int i) { to.put(first + i, pair, split(block, x[i].first, x[i].second)); });
  }
}

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
