// Memory that a library call can use, and the library itself: the host's, or where nvcc compiles,
// memory that host and device share.
#pragma once

#include <vector>

#if defined(__CUDACC__)
#include <gatescan/gatescan_cuda.cuh>
#include <new>
#else
#include <gatescan/gatescan.hpp>
#endif

namespace support {

/// Until results can be read.
template <class Backend>
void finish(const Backend&) {}

#if defined(__CUDACC__)

template <gatescan::detail::cuda_device Gpu>
void finish(const Gpu& gpu) {
  gatescan::detail::check_cuda(cudaStreamSynchronize(gpu.stream), "a kernel");
}

template <class T>
struct shared_memory {
  using value_type = T;
  shared_memory() = default;
  template <class U>
  shared_memory(const shared_memory<U>&) {}
  T* allocate(std::size_t n) {
    void* p = nullptr;
    if (cudaMallocManaged(&p, n * sizeof(T)) != cudaSuccess) throw std::bad_alloc();
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t) { cudaFree(p); }
  friend bool operator==(const shared_memory&, const shared_memory&) { return true; }
};
template <class T>
using memory = std::vector<T, shared_memory<T>>;

#else

template <class T>
using memory = std::vector<T>;

#endif

}  // namespace support
