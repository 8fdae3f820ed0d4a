// What the card itself does, so that times can be seen against it.
#include "measure.cuh"

namespace bench_cuda {
namespace {

__global__ void copy_numbers(float4* to, const float4* from, std::int64_t count) {
  const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += threads)
    to[i] = from[i];
}

// Independent products, operands in registers: 8 of 16 x 8 x 16 a warp and round.
__global__ void multiply(float* to, int rounds) {
  gatescan::detail::hardware_block block(0, nullptr);
  constexpr int chains = 8;
  float sum[chains][4] = {};
  const gatescan::detail::bf16_pair a[4] = {{0x3f803f80u + threadIdx.x}, {1}, {2}, {3}};
  const gatescan::detail::bf16_pair b[2] = {{0x3f803f80u}, {threadIdx.x}};
  for (int i = 0; i < rounds; ++i)
#pragma unroll
    for (int c = 0; c < chains; ++c) block.multiply(sum[c], a, b);
  float all = 0;
  for (int c = 0; c < chains; ++c) all += sum[c][0] + sum[c][1] + sum[c][2] + sum[c][3];
  if (all == 1e30f) *to = all;  // never: but the sums are wanted
}

}  // namespace

limits measure_limits(const settings& how) {
  limits l;
  const std::int64_t bytes = std::int64_t{1} << (how.tiny ? 24 : 31);
  const array<float> from(bytes / 4, false, false), to(bytes / 4, false, false);
  // the better of the runtime's copy and a kernel's
  const times by_runtime = time_calls(nullptr, 1, how.seconds, [&](int) {
    check(cudaMemcpyAsync(to.re(), from.re(), static_cast<std::size_t>(bytes),
                          cudaMemcpyDeviceToDevice, nullptr));
  });
  const times by_kernel = time_calls(nullptr, 1, how.seconds, [&](int) {
    copy_numbers<<<static_cast<unsigned>(bytes / 16 / 1024), 256>>>(
        reinterpret_cast<float4*>(to.re()), reinterpret_cast<const float4*>(from.re()), bytes / 16);
    check(cudaGetLastError());
  });
  l.copy = 2e-6 * static_cast<double>(bytes) / std::min(by_runtime.median, by_kernel.median);

  int device = 0, processors = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  constexpr int threads = 256;
  const int blocks = 8 * processors, rounds = how.tiny ? 16 : 4096;
  const times products = time_calls(nullptr, 1, how.seconds, [&](int) {
    multiply<<<static_cast<unsigned>(blocks), threads>>>(to.re(), rounds);
    check(cudaGetLastError());
  });
  const double flops = 2.0 * 16 * 8 * 16 * 8 * rounds * blocks * (threads / 32);
  l.matrix = 1e-9 * flops / products.median;
  return l;
}

}  // namespace bench_cuda
