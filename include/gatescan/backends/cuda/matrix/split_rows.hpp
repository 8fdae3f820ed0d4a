#pragma once
// Tiles in shared memory whose numbers are sums of bfloat16, two or so, made once where they are
// stored: rows of pairs, each part apart, as matrix units load them. Products are those of
// warp_sums.

#include "../numbers.hpp"
#include "../tuning.hpp"
#include "warp_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// A sum of Parts bfloat16, of two numbers each.
template <int Parts = 2>
struct split_pair {
  registers<bf16_pair, Parts> of;
};
template <int Parts = 2, class Block>
GATESCAN_HD split_pair<Parts> split(Block& block, float first, float second) {
  split_pair<Parts> r;
  unrolled<Parts>([&](int p) {
    r.of[p] = p < Parts - 1 ? take_part(block, first, second) : block.rounded(first, second);
  });
  return r;
}

/// Operand a of a product 16 deep: 16 rows.
template <int Parts>
struct fragment_of_parts {
  registers<bf16_pair[4], Parts> of;

  GATESCAN_HD void put(int n, const split_pair<Parts>& x) {
    unrolled<Parts>([&](int p) { of[p][n] = x.of[p]; });
  }
};
using split_fragment = fragment_of_parts<2>;
/// Operand b of it: two tiles of 8 columns.
template <int Parts>
struct columns_of_parts {
  registers<bf16_pair[2][2], Parts> of;
};

/// f(part of a, part of b) of the products of their parts, the smallest first, but for those that
/// are smaller than the last part of the one with more.
template <int A, int B, class F>
GATESCAN_HD void for_each_product(const F& f) {
  constexpr int parts = A > B ? A : B;
  unrolled<parts>([&](int n) {
    const int both = parts - 1 - n;
    unrolled<parts>([&](int m) {
      const int of_a = both - m;
      if (of_a >= 0 && of_a < A && m < B) f(of_a, m);
    });
  });
}
/// sum += a b, of 16 columns, as a matrix unit adds: for a few steps of the depth.
template <class Block, int A, int B>
GATESCAN_HD void add_truncated(Block& block, float (&sum)[2][4], const fragment_of_parts<A>& a,
                               const columns_of_parts<B>& b) {
  for (int tile = 0; tile < 2; ++tile)
    for_each_product<A, B>(
        [&](int of_a, int of_b) { block.multiply(sum[tile], a.of[of_a], b.of[of_b][tile]); });
}
GATESCAN_HD inline void add_step(float (&sum)[2][4], const float (&step)[2][4]) {
  for (int n = 0; n < 8; ++n) sum[n / 4][n % 4] += step[n / 4][n % 4];
}
/// The same, where what a matrix unit adds is one step.
template <class Block, int A, int B>
GATESCAN_HD void add_product(Block& block, float (&sum)[2][4], const fragment_of_parts<A>& a,
                             const columns_of_parts<B>& b) {
  float step[2][4] = {};
  add_truncated(block, step, a, b);
  add_step(sum, step);
}

// in pairs: eight rows of a matrix meet all banks
template <int Width>
inline constexpr int split_pitch = Width / 2 + 4;
template <int Width, int Parts = 2>
GATESCAN_HD constexpr int split_bytes(int rows) {
  return Parts * shared_size<bf16_pair>(rows * split_pitch<Width>);
}

/// Rows of Width numbers, a multiple of 16.
template <class Block, int Width, int Parts = 2>
class split_rows {
  using array = decltype(std::declval<Block&>().template shared<bf16_pair>(1));

 public:
  static constexpr int pitch = split_pitch<Width>;
  static constexpr int parts = Parts;

  /// lane: the thread's; whoever finds it anew says so.
  GATESCAN_HD split_rows(Block& block, int rows, int lane)
      : split_rows(block, rows, lane, std::make_index_sequence<static_cast<std::size_t>(Parts)>{}) {
  }
  GATESCAN_HD void find_lane(int lane) { lane_ = lane; }

  GATESCAN_HD void put(int row, int pair, const split_pair<Parts>& x) const {
    unrolled<Parts>([&](int p) { part_[p][row * pitch + pair] = x.of[p]; });
  }
  GATESCAN_HD float_pair number(int row, int pair) const {
    float_pair x;
    unrolled<Parts>([&](int p) {
      const bf16_pair part = part_[p][row * pitch + pair];
      x.first += bits_as<float>(part.bits << 16);
      x.second += bits_as<float>(part.bits & 0xffff0000u);
    });
    return x;
  }
  /// a is the 16 rows from `row` on, and its depth their numbers from d on.
  GATESCAN_HD fragment_of_parts<Parts> fragment(Block& block, int row, int d) const {
    const int at = (row + lane_ % 16) * pitch + d / 2 + lane_ / 16 * 4;
    fragment_of_parts<Parts> a;
    unrolled<Parts>([&](int p) { block.load_matrices(a.of[p], part_[p], at); });
    return a;
  }
  /// The depth of a is the 16 rows from d on, and its rows their numbers from `row` on.
  GATESCAN_HD fragment_of_parts<Parts> transposed_fragment(Block& block, int d, int row) const {
    const int at = (d + lane_ % 8 + lane_ / 16 * 8) * pitch + row / 2 + lane_ / 8 % 2 * 4;
    fragment_of_parts<Parts> a;
    unrolled<Parts>([&](int p) { block.load_transposed(a.of[p], part_[p], at); });
    return a;
  }
  /// Columns of b are the 16 rows from `row` on, and its depth their numbers from d on.
  GATESCAN_HD columns_of_parts<Parts> rows_as_columns(Block& block, int row, int d) const {
    const int at = (row + lane_ % 8 + lane_ / 16 * 8) * pitch + d / 2 + lane_ / 8 % 2 * 4;
    return columns_of([&](bf16_pair(&to)[4], int p) { block.load_matrices(to, part_[p], at); });
  }
  /// The depth of b is the 16 rows from `row` on, and its columns their numbers from `column` on.
  GATESCAN_HD columns_of_parts<Parts> columns(Block& block, int row, int column) const {
    const int at = (row + lane_ % 16) * pitch + column / 2 + lane_ / 16 * 4;
    return columns_of([&](bf16_pair(&to)[4], int p) { block.load_transposed(to, part_[p], at); });
  }

 private:
  template <std::size_t... P>
  GATESCAN_HD split_rows(Block& block, int rows, int lane, std::index_sequence<P...>)
      : part_{(static_cast<void>(P), block.template shared<bf16_pair>(rows * pitch))...},
        lane_(lane) {}
  template <class Load>
  GATESCAN_HD static columns_of_parts<Parts> columns_of(const Load& load) {
    columns_of_parts<Parts> b;
    unrolled<Parts>([&](int p) {
      bf16_pair x[4];
      load(x, p);
      for (int n = 0; n < 4; ++n) b.of[p][n / 2][n % 2] = x[n];
    });
    return b;
  }
  registers<array, Parts> part_;
  int lane_;
};

/// A lane's pair of numbers in each of the 16 rows from `row` on: load(row, i) of one, the i-th of
/// the `together` that are read before they are used.
template <int together = tuned.tokens_together, class Block, class Rows, class Load>
GATESCAN_HD void put_rows(Block& block, const Rows& to, int row, int pair, const Load& load) {
  for (int first = row; first < row + 16; first += together) {
    registers<float_pair, together> x;
    unrolled<together>([&](int i) { x[i] = load(first + i, i); });
    unrolled<together>([&](int i) {
      to.put(first + i, pair, split<Rows::parts>(block, x[i].first, x[i].second));
    });
  }
}

/// Eight neighbouring bfloat16, read and written together.
struct alignas(16) bf16_eight {
  std::uint32_t pairs[4];
};
/// Where eight numbers of a row lie in a split_rows of one part, in eights.
template <int Width>
struct split_layout {
  static constexpr int width = Width;
  static_assert(split_pitch<Width> % 4 == 0);
  GATESCAN_HD static int eight(int row, int column) {
    return row * (split_pitch<Width> / 4) + column;
  }
};
/// The 16 rows from `row` on, as they lie in memory `pitch` apart, to the place that Layout says.
/// They are on their way then (fetches_ahead).
template <class Layout, class Block, class Array>
GATESCAN_HD void fetch_rows(Block& block, const Array& to, const bf16* from, index_t pitch, int row,
                            int lane) {
  constexpr int a_row = Layout::width / 8, together = warp_threads / a_row;
  const int first = row + lane / a_row, column = lane % a_row;
  from += first * pitch + column * 8;
  unrolled<16 / together>([&](int i) {
    block.fetch(to, Layout::eight(first + i * together, column),
                reinterpret_cast<const bf16_eight*>(from));
    from += together * pitch;
  });
}

/// Whether what a thread has fetched so is finite.
template <int Width, class Array>
GATESCAN_HD bool fetched_are_finite(const Array& from, int row, int lane) {
  constexpr int a_row = Width / 8, together = warp_threads / a_row;
  std::uint32_t found = 0;
  unrolled<16 / together>([&](int i) {
    const bf16_eight x =
        from[split_layout<Width>::eight(row + lane / a_row + i * together, lane % a_row)];
    // a largest exponent and one more is a sign
    unrolled<4>([&](int n) { found |= (x.pairs[n] & 0x7fff7fffu) + 0x00800080u; });
  });
  return (found & 0x80008000u) == 0;
}

/// A subchunk of tokens, from `own` on, and of each two neighbouring values a lane: those that
/// `from` reads from the tile's first token and that value on, `count` tokens and `there` values
/// of them. Of whole tiles nothing is clamped, and nothing outside is cleared.
template <bool Whole, int together = tuned.tokens_together, class Block, class Rows, class Reader>
GATESCAN_HD void put_values(Block& block, const Rows& to, const Reader& from, int own, int lane,
                            int count, index_t first_value, int there) {
  const int column = 2 * lane, second = Whole || column < there - 1 ? 1 : 0;
  const int first = own < count - 1 ? own : count - 1,
            here_column = column < there - 1 ? column : there - 1;
  auto here =
      Whole ? from.moved(own, first_value + column) : from.moved(first, first_value + here_column);
  put_rows<together>(block, to, own, lane, [&](int t, int) -> float_pair {
    const float x = here(0), y = here(second);
    if (Whole || t + 1 < count) here.next_token();
    return {Whole || (t < count && column < there) ? x : 0,
            Whole || (t < count && second == 1) ? y : 0};
  });
}

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
