// A recurrence's computations on CUDA, in the formats that the build wants.
#pragma once

#include <gatescan/gatescan_cuda.cuh>

#include "compute.hpp"

#if defined(GATESCAN_EVERY_FORMAT)
#define DEVICE_CALLS_OTHER_FORMATS                                                                 \
  , double, gatescan::bf16, gatescan::half, gatescan::wide<float>, gatescan::wide<gatescan::bf16>, \
      gatescan::wide<gatescan::half>
#else
#define DEVICE_CALLS_OTHER_FORMATS
#endif

namespace device_calls {

inline gatescan::cuda on_stream(void* stream) {
  return gatescan::cuda{static_cast<CUstream_st*>(stream)};
}

template <class R>
void add_formats(table& to) {
  add<R, on_stream, float DEVICE_CALLS_OTHER_FORMATS>(to);
}

}  // namespace device_calls
