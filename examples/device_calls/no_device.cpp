// In place of cuda_device.cpp where there is no nvcc.
#include "device.hpp"

namespace device_calls {

std::unique_ptr<device> open_device() {
  throw device_error("this program was built without CUDA: CMake found no nvcc");
}

}  // namespace device_calls
