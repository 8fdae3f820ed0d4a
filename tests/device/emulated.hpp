// Calls on formats of a device run on the emulation of one.
#pragma once

#include <gatescan/backends/cuda/execute.hpp>
#include "../support/emulation/emulated_gpu.hpp"
#include "../support/run.hpp"

namespace support {

template <class T>
struct backend_of<gatescan::device<T>> {
  using format = gatescan::device<T>;
  static emulated_gpu make(const settings&) { return {}; }
};

}  // namespace support
