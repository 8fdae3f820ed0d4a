// Calls on formats of the host run on the emulation too: tests of the library's properties (tests/
// properties, tests/modes), included after this, are tests of the CUDA backend.
#pragma once

#include "emulated.hpp"

namespace support {

template <class T>
struct emulated_format {
  using format = gatescan::device<T>;
  static emulated_gpu make(const settings&) { return {}; }
};
template <>
struct backend_of<float> : emulated_format<float> {};
template <>
struct backend_of<double> : emulated_format<double> {};
template <>
struct backend_of<gatescan::bf16> : emulated_format<gatescan::bf16> {};
template <>
struct backend_of<gatescan::wide<float>> : emulated_format<gatescan::wide<float>> {};

}  // namespace support
