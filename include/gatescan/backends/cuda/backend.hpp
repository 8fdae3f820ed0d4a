#pragma once
// The CUDA backend as a value, and how it multiplies. Plain C++ may name it and pass it on; only
// files that include gatescan_cuda.cuh can compute with it.

#include "../../core/concepts.hpp"

struct CUstream_st;  // what cudaStream_t points to

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// The forms that CUDA's programs of matrix states read a recurrence in as it stands.
template <class R>
concept is_plain_product =
    R::form.moves == transition::diagonal&& R::form.reads == readout::inclusive &&
    !R::form.normaliser && !has_token<R>;
/// The forms that there are kernels for.
template <class R>
concept has_device_kernels = is_plain_product<R> || average_form<R> ||
    (R::form.gate != gate_span::entry && R::form.number == numbers::real);

}  // namespace detail
}  // namespace GATESCAN_ABI

inline namespace GATESCAN_TYPES {

/// Runs on the current CUDA device, in order on `stream` (null: the default stream). Operands,
/// results and scratch are device memory: `inputs<device<float>>`. A call returns once its kernels
/// are launched; with scratch given it neither allocates nor synchronises, so that it can be
/// captured in a graph. Without, its scratch comes from the device's default memory pool, which
/// gives memory back at every synchronisation unless cudaMemPoolAttrReleaseThreshold is raised:
/// then each call maps its scratch again. `out` of a matrix state must be apart from the operands;
/// a state may be advanced in place. `sequence_offsets` is device memory too, so its numbers are
/// not checked but clamped to the tokens there are.
struct cuda {
  static constexpr bool on_device = true;
  template <class R>
  static constexpr bool runs = detail::has_device_kernels<R>;
  CUstream_st* stream = nullptr;
};

/// The same, but the products of chunks of `float` and of its matrix states are made by the matrix
/// unit in tf32: each factor is rounded to 11 bits, sums are in float. For matrix states only; what
/// is carried from chunk to chunk, other formats and other modes stay as they are.
struct cuda_tf32 {
  static constexpr bool on_device = true;
  template <class R>
  static constexpr bool runs = detail::has_device_kernels<R>;
  static constexpr bool multiplies_in_tf32 = true;
  CUstream_st* stream = nullptr;
};

/// The same as cuda, to the bit, for devices of compute capability 9.0: states of chunks of `bf16`
/// and `half` are products of four warps at once, with values read from shared memory (wgmma). For
/// code compiled with -arch=sm_90a. Not run yet: nobody knows whether it is faster.
struct cuda_warpgroups {
  static constexpr bool on_device = true;
  template <class R>
  static constexpr bool runs = detail::has_device_kernels<R>;
  static constexpr bool multiplies_by_warpgroups = true;
  CUstream_st* stream = nullptr;
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
