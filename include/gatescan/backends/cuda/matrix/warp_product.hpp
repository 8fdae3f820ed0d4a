#pragma once
// Products of numbers in float on a warp's matrix unit. Where that multiplies bfloat16, every
// number is the sum of two of them, and of the four products the smallest is left out: the error of
// a term is 2^-17 of it. With a third part of a, and all of b in two (an operand of 16 bits), it is
// that of float. In tf32 every number is rounded once, by up to 2^-11 of it.
//
// A matrix unit truncates when it adds, always towards 0. So what it adds is a step of the depth,
// and steps are added in float, which rounds (Ootomo and Yokota, Int. J. High Perform. Comput.
// Appl. 36, 2022).

#include "../../../core/scalar.hpp"
#include "../toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

// The next part of two numbers, which are left with what it lacks.
template <class Block>
GATESCAN_HD bf16_pair take_part(Block& block, float& first, float& second) {
  const bf16_pair part = block.rounded(first, second);
  first -= bits_as<float>(part.bits << 16);
  second -= bits_as<float>(part.bits & 0xffff0000u);
  return part;
}

/// 16 rows of a warp, N columns.
template <int N>
struct warp_tile {
  static constexpr int tiles = N / 8;
  float sum[static_cast<std::size_t>(tiles)][4] = {};

  /// Row and column of sum[tile][i].
  GATESCAN_HD static int row(int lane, int i) { return lane / 4 + i / 2 * 8; }
  GATESCAN_HD static int column(int lane, int tile, int i) {
    return tile * 8 + lane % 4 * 2 + i % 2;
  }
};

template <int N, bool ThreeParts = false>
struct warp_sums : warp_tile<N> {
  static constexpr int step = 16;  // depths are multiples of it
  using warp_tile<N>::tiles, warp_tile<N>::sum;

  /// += sum over d < depth, a multiple of 16, of a[d][row] b[d][column]
  template <class Block, class A, class B>
  GATESCAN_HD void add(Block& block, int depth, const A& a, int a_pitch, const B& b, int b_pitch) {
    const int g = block.thread() % warp_threads / 4, i = block.thread() % 4 * 2;
    for (int d = 0; d < depth; d += 16) {
      bf16_pair a_high[4], a_low[4], a_rest[4];
      for (int n = 0; n < 4; ++n) {
        const int at = (d + i + n / 2 * 8) * a_pitch + g + n % 2 * 8;
        float x = a[at], y = a[at + a_pitch];
        a_high[n] = take_part(block, x, y), a_low[n] = take_part(block, x, y);
        if (ThreeParts) a_rest[n] = take_part(block, x, y);
      }
      for (int tile = 0; tile < tiles; ++tile) {
        bf16_pair b_high[2], b_low[2];
        for (int n = 0; n < 2; ++n) {
          const int at = (d + i + n * 8) * b_pitch + tile * 8 + g;
          float x = b[at], y = b[at + b_pitch];
          b_high[n] = take_part(block, x, y), b_low[n] = take_part(block, x, y);
        }
        float step_sum[4] = {};
        if constexpr (ThreeParts) {
          block.multiply(step_sum, a_rest, b_high);
          block.multiply(step_sum, a_low, b_low);
        }
        block.multiply(step_sum, a_low, b_high);
        block.multiply(step_sum, a_high, b_low);
        block.multiply(step_sum, a_high, b_high);
        for (int n = 0; n < 4; ++n) sum[tile][n] += step_sum[n];
      }
    }
  }
};

template <int N>
struct tf32_sums : warp_tile<N> {
  static constexpr int step = 8;
  using warp_tile<N>::tiles, warp_tile<N>::sum;

  template <class Block, class A, class B>
  GATESCAN_HD void add(Block& block, int depth, const A& a, int a_pitch, const B& b, int b_pitch) {
    const int g = block.thread() % warp_threads / 4, i = block.thread() % 4;
    for (int d = 0; d < depth; d += step) {
      tf32_number x[4], y[2];
      for (int n = 0; n < 4; ++n)
        x[n] = block.in_tf32(a[(d + i + n / 2 * 4) * a_pitch + g + n % 2 * 8]);
      for (int tile = 0; tile < tiles; ++tile) {
        for (int n = 0; n < 2; ++n)
          y[n] = block.in_tf32(b[(d + i + n * 4) * b_pitch + tile * 8 + g]);
        block.multiply(sum[tile], x, y);
      }
    }
  }
};

/// tile_sums with four warps of 16 rows: 64 x N. Warp: the sums of one.
template <class Warp>
struct sums_by_warps {
  Warp of_warp;

  template <class Block, class A, class B>
  GATESCAN_HD void add(Block& block, int depth, const A& a, int a_pitch, const B& b, int b_pitch) {
    of_warp.add(block, whole_steps(depth), a + block.thread() / warp_threads * 16, a_pitch, b,
                b_pitch);
  }
  template <class Block, class A, class B>
  GATESCAN_HD void add(Block& block, int first, int last, int depth, const A& a, int a_pitch,
                       const B& b, int b_pitch) {
    const int row = block.thread() / warp_threads * 16;
    if (row >= first && row < last) add(block, depth, a, a_pitch, b, b_pitch);
  }
  /// f(row, column, sum)
  template <class F>
  GATESCAN_HD void for_each(int thread, F f) const {
    const int lane = thread % warp_threads, first = thread / warp_threads * 16;
    for (int tile = 0; tile < Warp::tiles; ++tile)
      for (int i = 0; i < 4; ++i)
        f(first + Warp::row(lane, i), Warp::column(lane, tile, i), of_warp.sum[tile][i]);
  }
  /// What is beyond the last number is 0.
  GATESCAN_HD static int whole_steps(int n) {
    return (n + Warp::step - 1) / Warp::step * Warp::step;
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
