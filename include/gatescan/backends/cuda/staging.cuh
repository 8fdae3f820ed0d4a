#pragma once
// Memory of the host beside a stream: what goes to a neighbour that reads no device memory.

#include "hardware.cuh"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
struct staging_release {
  void operator()(std::byte* p) const { cudaFreeHost(p); }
};
}  // namespace detail

/// Pinned, so that copies are made by the device.
template <detail::cuda_device Device>
std::unique_ptr<std::byte[], detail::staging_release> staging_memory(const Device&,
                                                                     std::size_t bytes) {
  void* p = nullptr;
  if (bytes > 0) detail::check_cuda(cudaMallocHost(&p, bytes), "pinned memory");
  return {static_cast<std::byte*>(p), {}};
}
/// In stream order.
template <detail::cuda_device Device>
void copy_to_device(const Device& device, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  detail::check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, device.stream),
                     "copy to the device");
}
template <detail::cuda_device Device>
void copy_to_host(const Device& device, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  detail::check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, device.stream),
                     "copy to the host");
}
template <detail::cuda_device Device>
void wait_for(const Device& device) {
  detail::check_cuda(cudaStreamSynchronize(device.stream), "wait");
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
