// The trained model in streaming mode, one byte a call: generating text, and the check that
// streaming is the same function as training was.
#pragma once

#include <string>

#include "model.hpp"
#include "options.hpp"
#include "text.hpp"

namespace char_lm {

struct generated {
  std::string text;
  double seconds_a_byte = 0;
};

/// Feeds the prompt, then draws `count` bytes; temperature 0 takes the likeliest.
generated generate(model& m, const flat& theta, const std::string& prompt, int count,
                   double temperature, std::uint64_t seed);

struct agreement {
  double difference = 0;  // largest |step logit - planned logit|
  double largest = 0;     // largest |logit|, to compare with
};

/// Reads `passage` once token by token and once as a whole in the mode of `how`.
agreement compare_with_steps(model& m, const flat& theta, bytes passage, const execution& how);

}  // namespace char_lm
