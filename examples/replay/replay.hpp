// One recurrence on the tensors of one file.
#pragma once

#include <vector>

#include "device_calls/device.hpp"
#include "options.hpp"
#include "safetensors.hpp"

namespace replay {

using tensors = std::vector<safetensors::tensor>;

/// Forward, and backward when asked, on `device`, or on the host where it is null. All is read and
/// checked before the first number is computed. Throws what is wrong with the file.
tensors run(const options& asked, const safetensors::entries& file, device_calls::device* device);

}  // namespace replay
