#pragma once
// The toolbox's matrix unit where a machine has none for these numbers (GPUs below sm_80): the
// fragments of a warp go round by shuffles, and each lane adds up its own products.

#include "../../core/complex.hpp"
#include "../../core/scalar.hpp"
#include "toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

GATESCAN_HD inline bf16_pair rounded_pair(float first, float second) {
  const std::uint32_t low = bf16(first).bits, high = bf16(second).bits;
  return {low | high << 16};
}
/// To the nearest, ties away from 0.
GATESCAN_HD inline tf32_number rounded_to_tf32(float x) {
  const auto bits = bits_as<std::uint32_t>(x);
  return {x - x == 0 ? (bits + 0x1000u) & ~0x1fffu : bits};
}

/// sum + x y of what two registers hold: two products, or one.
GATESCAN_HD inline float add_products(float sum, bf16_pair x, bf16_pair y) {
  sum = fma(bits_as<float>(x.bits << 16), bits_as<float>(y.bits << 16), sum);
  return fma(bits_as<float>(x.bits & 0xffff0000u), bits_as<float>(y.bits & 0xffff0000u), sum);
}
GATESCAN_HD inline float add_products(float sum, tf32_number x, tf32_number y) {
  return fma(bits_as<float>(x.bits), bits_as<float>(y.bits), sum);
}

/// sum += a b with the fragments that the concept matrix_unit describes.
template <class Block, class Number>
GATESCAN_HD void multiply_by_shuffles(Block& block, float (&sum)[4], const Number (&a)[4],
                                      const Number (&b)[2]) {
  const int lane = block.thread() % warp_threads;
  for (int from = 0; from < 4; ++from) {  // of the four lanes that share a row of a, a column of b
    Number x[4];
    for (int n = 0; n < 4; ++n) x[n].bits = block.shuffle(a[n].bits, lane / 4 * 4 + from);
    for (int column = 0; column < 2; ++column)
      for (int m = 0; m < 2; ++m) {
        const Number y{block.shuffle(b[m].bits, (lane % 4 * 2 + column) * 4 + from)};
        for (int row = 0; row < 2; ++row)
          sum[2 * row + column] = add_products(sum[2 * row + column], x[row + 2 * m], y);
      }
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
