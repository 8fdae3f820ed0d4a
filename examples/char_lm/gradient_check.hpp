// The backward of the whole model against central differences, on a tiny model with random weights.
#pragma once

#include "execution.hpp"

namespace char_lm {

/// Prints a line for every recurrence and mode. Returns whether all of them agree. Null: on the
/// host.
bool check_gradients(device_calls::device* device);

}  // namespace char_lm
