// The backward of the whole model against central differences, on a tiny model with random weights.
#pragma once

#include "options.hpp"

namespace char_lm {

/// Prints a line for every recurrence and mode. Returns whether all of them agree.
bool check_gradients();

}  // namespace char_lm
