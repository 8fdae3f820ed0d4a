// One entry a recurrence, each compiled in a source file of its own.
#pragma once

#include <vector>

#include "device_calls/device.hpp"
#include "options.hpp"
#include "safetensors.hpp"

namespace replay {

using tensors = std::vector<safetensors::tensor>;

// On `device`, or on the host where it is null.
using recurrence = tensors(const options& asked, const safetensors::entries& file,
                           device_calls::device* device);
recurrence elementwise, gateloop, gla, selective_scan;

}  // namespace replay
