#pragma once
// The product of a warpgroup, four warps, on a GPU: wgmma (PTX ISA, asynchronous warpgroup level
// matrix instructions), which there is on sm_90a alone.

#include "toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace warpgroup {

/// b as the instruction is told of it: squares of 8 x 8 without a swizzle, rows being its depth.
/// Steps are in pairs.
__device__ inline std::uint64_t squares(std::uint32_t address, int row_step, int column_step) {
  constexpr int sixteen_bytes = 4;  // in pairs
  return (address & 0x3ffffu) >> 4 | static_cast<std::uint64_t>(row_step / sixteen_bytes) << 16 |
         static_cast<std::uint64_t>(column_step / sixteen_bytes) << 32;
}

#define GATESCAN_SUMS(to, n) to(sum[n][0]), to(sum[n][1]), to(sum[n][2]), to(sum[n][3])
#define GATESCAN_ALL_SUMS(to)                                                             \
  GATESCAN_SUMS(to, 0), GATESCAN_SUMS(to, 1), GATESCAN_SUMS(to, 2), GATESCAN_SUMS(to, 3), \
      GATESCAN_SUMS(to, 4), GATESCAN_SUMS(to, 5), GATESCAN_SUMS(to, 6), GATESCAN_SUMS(to, 7)

/// sum (64 x 64) = a (64 x 16) b (16 x 64), or First: += it.
template <bool First>
__device__ void multiply(float (&sum)[8][4], const bf16_pair (&a)[4], std::uint64_t b) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GATESCAN_WGMMA(added)                                                         \
  "{.reg .pred p; setp.ne.b32 p, " added                                              \
  ", 0;"                                                                              \
  "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "                             \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, " \
  "{%32, %33, %34, %35}, %36, p, 1, 1, 1;}"
  if constexpr (First)
    asm volatile(GATESCAN_WGMMA("0")
                 : GATESCAN_ALL_SUMS("=f")
                 : "r"(a[0].bits), "r"(a[1].bits), "r"(a[2].bits), "r"(a[3].bits), "l"(b)
                 : "memory");
  else
    asm volatile(GATESCAN_WGMMA("1")
                 : GATESCAN_ALL_SUMS("+f")
                 : "r"(a[0].bits), "r"(a[1].bits), "r"(a[2].bits), "r"(a[3].bits), "l"(b)
                 : "memory");
#undef GATESCAN_WGMMA
#else
  static_assert(sizeof(sum) == 0, "gatescan: cuda_warpgroups{} needs nvcc -arch=sm_90a");
#endif
}
#undef GATESCAN_ALL_SUMS
#undef GATESCAN_SUMS

}  // namespace warpgroup
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
