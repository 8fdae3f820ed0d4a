#pragma once
// The CUDA backend as a value. Plain C++ may name it and pass it on; only files that include
// gatescan_cuda.cuh can compute with it.

#include "../../core/macros.hpp"

struct CUstream_st;  // what cudaStream_t points to

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Runs on the current CUDA device, in order on `stream` (null: the default stream). Operands,
/// results and scratch are device memory: `inputs<device<float>>`. A call returns once its kernels
/// are launched; with scratch given it neither allocates nor synchronises, so that it can be
/// captured in a graph. `out` of a matrix state must be apart from the operands; a state may be
/// advanced in place.
/// `sequence_offsets` is device memory too, so its numbers are not checked but clamped to the
/// tokens there are.
struct cuda {
  static constexpr bool on_device = true;
  CUstream_st* stream = nullptr;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
