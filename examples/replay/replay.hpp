// One entry a recurrence, each compiled in a source file of its own.
#pragma once

#include <vector>

#include "options.hpp"
#include "safetensors.hpp"

namespace replay {

using tensors = std::vector<safetensors::tensor>;

tensors elementwise(const options& asked, const safetensors::entries& file);
tensors gateloop(const options& asked, const safetensors::entries& file);
tensors gla(const options& asked, const safetensors::entries& file);
tensors selective_scan(const options& asked, const safetensors::entries& file);

}  // namespace replay
