// Calls on formats of the host run on a device too: tests of the library's properties (tests/
// properties, tests/modes), included after this, are tests of the CUDA backend.
#pragma once

#include "device.hpp"

namespace support {

template <class T>
struct on_device {
  using format = gatescan::device<T>;
  static device_backend make(const settings&) { return {}; }
};
template <>
struct backend_of<float> : on_device<float> {};
template <>
struct backend_of<double> : on_device<double> {};
template <>
struct backend_of<gatescan::bf16> : on_device<gatescan::bf16> {};
template <>
struct backend_of<gatescan::wide<float>> : on_device<gatescan::wide<float>> {};

}  // namespace support
