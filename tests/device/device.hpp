// Calls on formats of a device run on one: where nvcc compiles, on a GPU; else on its emulation.
#pragma once

#if defined(__CUDACC__)

#include "../support/run.hpp"

namespace support {
using device_backend = gatescan::cuda;
}

#else

#include <gatescan/backends/cuda/execute.hpp>
#include "../support/emulation/emulated_gpu.hpp"
#include "../support/run.hpp"

namespace support {

using device_backend = emulated_gpu;

template <class T>
struct backend_of<gatescan::device<T>> {
  using format = gatescan::device<T>;
  static emulated_gpu make(const settings&) { return {}; }
};

}  // namespace support

#endif
