#pragma once
// The toolbox on a GPU: what a block is there, and how a program is launched.

#include <cuda_runtime.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

#include "../../core/error.hpp"
#include "backend.hpp"
#include "collectives.cuh"
#include "software_matrix_unit.hpp"
#include "toolbox.hpp"
#include "tuning.hpp"
#include "warpgroup.cuh"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// A call of the CUDA runtime failed; the message has its words.
struct cuda_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {

inline void check_cuda(cudaError_t code, const char* what) {
  if (code != cudaSuccess)
    fail<cuda_error>(std::string("cuda: ") + what + ": " + cudaGetErrorString(code));
}

class hardware_block {
 public:
  __device__ hardware_block(index_t index, char* shared) : index_(index), shared_(shared) {}

  __device__ index_t index() const { return index_; }
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int thread_anew() const {
    int r;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(r));
    return r;
  }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ void sync() { __syncthreads(); }
  __device__ void sync_warp() { __syncwarp(); }
  __device__ bool any(bool b) { return __syncthreads_or(b) != 0; }
  template <class T>
  __device__ T* shared(index_t count) {
    T* const here = reinterpret_cast<T*>(shared_);
    shared_ += shared_size<T>(count);
    return here;
  }
  // both read what the compiler does not see them read
  __device__ void load_matrices(bf16_pair (&to)[4], const bf16_pair* from, int at) {
    const auto row = shared_address(from, at);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0].bits), "=r"(to[1].bits), "=r"(to[2].bits), "=r"(to[3].bits)
                 : "r"(row)
                 : "memory");
  }
  __device__ void load_transposed(bf16_pair (&to)[4], const bf16_pair* from, int at) {
    const auto row = shared_address(from, at);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0].bits), "=r"(to[1].bits), "=r"(to[2].bits), "=r"(to[3].bits)
                 : "r"(row)
                 : "memory");
  }
  template <class T>
  __device__ T shuffle(T x, int lane) {
    return __shfl_sync(0xffffffffu, x, lane);
  }
  template <class T>
  __device__ T shuffle_xor(T x, int lane_mask) {
    return __shfl_xor_sync(0xffffffffu, x, lane_mask);
  }
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  template <class X>
  __device__ void fetch(X* to, index_t at, const X* from) {
    fetch_bytes(to + at, from);
  }
  template <class X>
  __device__ void fetch_pair(std::uint32_t* to, index_t at, const X* from) {
    static_assert(sizeof(X) == 2);
    fetch_bytes(to + at, from);
  }
  __device__ void close_fetches() { asm volatile("cp.async.commit_group;" : : : "memory"); }
  template <int Left>
  __device__ void wait_for_fetches() {
    asm volatile("cp.async.wait_group %0;" : : "n"(Left) : "memory");
  }
#else
  template <class X>
  __device__ void fetch(X* to, index_t at, const X* from) {
    to[at] = *from;
  }
  template <class X>
  __device__ void fetch_pair(std::uint32_t* to, index_t at, const X* from) {
    to[at] = *reinterpret_cast<const std::uint32_t*>(from);
  }
  __device__ void close_fetches() {}
  template <int Left>
  __device__ void wait_for_fetches() {}
#endif
  template <int Threads, class From, class X, int Count>
  __device__ void load(const From& from, int numbers, X (&to)[Count]) {
    collectives::load<Threads>(from, numbers, to);
  }
  template <int Threads, class To, class X, int Count>
  __device__ void store(const To& to, int numbers, X (&from)[Count]) {
    collectives::store<Threads>(to, numbers, from);
  }
  template <int Threads, class X, class Op>
  __device__ X exclusive_scan(const X& own, const X& identity, X& total, const Op& op) {
    return collectives::exclusive_scan<Threads>(own, identity, total, op);
  }
  template <int Threads, class X, class Op>
  __device__ X exclusive_scan_back(const X& own, const X& identity, X& total, const Op& op) {
    return collectives::exclusive_scan_back<Threads>(own, identity, total, op);
  }
  template <int Threads, class X, class Op>
  __device__ X sum(const X& own, const Op& op) {
    return collectives::sum<Threads>(own, op);
  }
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  __device__ bf16_pair rounded(float first, float second) {
    bf16_pair r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r.bits) : "f"(second), "f"(first));
    return r;
  }
  __device__ tf32_number in_tf32(float x) {
    tf32_number r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r.bits) : "f"(x));
    return r;
  }
  __device__ void multiply(float (&sum)[4], const tf32_number (&a)[4], const tf32_number (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0].bits), "r"(a[1].bits), "r"(a[2].bits), "r"(a[3].bits), "r"(b[0].bits),
          "r"(b[1].bits));
  }
  __device__ void multiply(float (&sum)[4], const bf16_pair (&a)[4], const bf16_pair (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0].bits), "r"(a[1].bits), "r"(a[2].bits), "r"(a[3].bits), "r"(b[0].bits),
          "r"(b[1].bits));
  }
#else  // a default build is for sm_75, and reaches newer GPUs from there
  __device__ bf16_pair rounded(float first, float second) { return rounded_pair(first, second); }
  __device__ tf32_number in_tf32(float x) { return rounded_to_tf32(x); }
  template <class Number>
  __device__ void multiply(float (&sum)[4], const Number (&a)[4], const Number (&b)[2]) {
    multiply_by_shuffles(*this, sum, a, b);
  }
#endif
  __device__ void show_stores() { asm volatile("fence.proxy.async.shared::cta;" : : : "memory"); }
  __device__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" : : : "memory"); }
  __device__ void end_products() {
    asm volatile("wgmma.commit_group.sync.aligned;\n\twgmma.wait_group.sync.aligned 0;"
                 :
                 :
                 : "memory");
  }
  template <bool First>
  __device__ void multiply_group(float (&sum)[8][4], const bf16_pair (&a)[4], const bf16_pair* b,
                                 int at, int row_step, int column_step) {
    warpgroup::multiply<First>(sum, a,
                               warpgroup::squares(shared_address(b, at), row_step, column_step));
  }

 private:
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  template <class Place, class X>
  __device__ static void fetch_bytes(Place* to, const X* from) {
    // not shared_address: of this the compiler knows that a step on is a step on
    const auto place = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;"
                 :
                 : "r"(place), "l"(from), "n"(sizeof(Place))
                 : "memory");
  }
#endif
  // in 32 bits, so that places of one array differ by what an instruction has room for
  __device__ static std::uint32_t shared_address(const bf16_pair* first, int at) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(first)) +
           static_cast<std::uint32_t>(at) * static_cast<std::uint32_t>(sizeof(bf16_pair));
  }
  index_t index_;
  char* shared_;
};

// Hidden: two shared objects with the same program would otherwise share one of two kernels.
#define GATESCAN_HIDDEN __attribute__((visibility("hidden")))

// Inlined: else a copy of the program would be made in local memory.
template <class Program>
__device__ GATESCAN_INLINE void run_all(const Program& program, index_t blocks) {
  extern __shared__ __align__(16) char gatescan_shared[];
  // by turns: one register, and not the two of a block's number
  for (unsigned turn = 0;; ++turn) {
    const index_t b = blockIdx.x + static_cast<index_t>(turn) * gridDim.x;
    if (b >= blocks) return;
    if (turn > 0) __syncthreads();  // the last block's shared memory
    hardware_block block(b, gatescan_shared);
    program(block);
  }
}
template <class Program>
__global__ GATESCAN_HIDDEN void run_blocks(const Program program, index_t blocks) {
  run_all(program, blocks);
}

/// The same, of a program of at most `tuned.block_threads` threads, with registers for so many
/// blocks a multiprocessor.
template <class Program, int Blocks>
__global__ GATESCAN_HIDDEN void __launch_bounds__(gpu::tuned.block_threads, Blocks)
    run_bounded_blocks(const Program program, index_t blocks) {
  run_all(program, blocks);
}

/// Of a program that says so, unless it says 0.
template <class Program>
constexpr int blocks_a_multiprocessor() {
  if constexpr (requires { Program::blocks_a_multiprocessor; })
    return Program::blocks_a_multiprocessor;
  else
    return 0;
}
template <class Program>
constexpr auto kernel_of() {
  if constexpr (constexpr int blocks = blocks_a_multiprocessor<Program>(); blocks > 0)
    return &run_bounded_blocks<Program, blocks>;
  else
    return &run_blocks<Program>;
}

template <class D>
concept cuda_device =
    std::same_as<D, cuda> || std::same_as<D, cuda_tf32> || std::same_as<D, cuda_warpgroups>;

}  // namespace detail

/// Launches a program in the device's stream. An error of an earlier call of the user's is neither
/// reported nor taken away.
template <detail::cuda_device Device, class Program>
GATESCAN_HIDDEN void launch(const Device& device, const Program& program) {
  const index_t blocks = program.blocks();
  if (blocks == 0) return;
  constexpr index_t most = 0x7fffffff;
  const auto kernel = detail::kernel_of<Program>();
  const int shared = program.shared_bytes();
  if (shared > 48 * 1024)
    detail::check_cuda(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
        "shared memory");
  cudaLaunchConfig_t how{};
  how.gridDim = dim3(static_cast<unsigned>(blocks < most ? blocks : most));
  how.blockDim = dim3(static_cast<unsigned>(program.threads()));
  how.dynamicSmemBytes = static_cast<std::size_t>(shared);
  how.stream = device.stream;
  detail::check_cuda(cudaLaunchKernelEx(&how, kernel, program, blocks), "launch");
}
#undef GATESCAN_HIDDEN

namespace detail {
struct device_memory_release {
  CUstream_st* stream = nullptr;
  void operator()(std::byte* p) const { cudaFreeAsync(p, stream); }
};
}  // namespace detail

/// Scratch in stream order, for calls without any given.
template <detail::cuda_device Device>
std::unique_ptr<std::byte[], detail::device_memory_release> own_scratch(const Device& device,
                                                                        std::size_t bytes) {
  void* p = nullptr;
  if (bytes > 0) detail::check_cuda(cudaMallocAsync(&p, bytes, device.stream), "scratch");
  return {static_cast<std::byte*>(p), detail::device_memory_release{device.stream}};
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
