// The run options as JSON, by the names of their flags.
#pragma once

#include <nlohmann/json.hpp>

#include "options.hpp"

namespace char_lm {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(run_options, recurrence, mode, chunk, width, depth, heads,
                                   context, batch, steps, lr, seed, text, backend)

}  // namespace char_lm
