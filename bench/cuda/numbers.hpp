// Operands without files: number i of an operand follows from the operand's seed alone, so that a
// peer in another program makes the same ones (bench/peers/cuda/recipes.py).
#pragma once

#include <cstdint>
#include <gatescan/core/macros.hpp>

namespace bench_cuda {

/// Evenly spread over [0, 1), in steps of 2^-24.
GATESCAN_HD constexpr float even(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t h = (i + 1) * 0x9e3779b97f4a7c15u + seed * 0xbf58476d1ce4e5b9u;
  h ^= h >> 32;
  h *= 0x94d049bb133111ebu;
  return static_cast<float>(h >> 40) * 0x1p-24f;
}
GATESCAN_HD constexpr float number(std::uint64_t seed, std::uint64_t i, float low, float high) {
  return low + (high - low) * even(seed, i);
}
// The same numbers stand in the test of the other program.
static_assert(even(1, 0) == 6441870 * 0x1p-24f && even(7, 123456789012) == 5914638 * 0x1p-24f);

/// Place n of the results that are shown to peers, of `size`.
constexpr std::int64_t sample(std::int64_t n, std::int64_t size) {
  return static_cast<std::int64_t>(static_cast<double>(even(99, static_cast<std::uint64_t>(n))) *
                                   static_cast<double>(size));
}

}  // namespace bench_cuda
