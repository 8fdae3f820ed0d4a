// A small real use of the library with an answer known by heart, for every kind of consumer.
#pragma once

#include <gatescan/gatescan.hpp>

#include <cmath>

// Internal linkage: this function is compiled with the flags of whoever includes it.
// The state halves at each token and 1 is added: 1, 1.5, 1.75. Returns the largest error made.
static float halving_error() {
  const float ones[3] = {1, 1, 1};
  const float half = std::log(0.5f);
  const float log_decay[3] = {half, half, half};
  float out[3] = {-1, -1, -1};
  float state[1] = {-1};

  const gatescan::gla::inputs<float> in{.q = {ones, {1, 3, 1, 1}},
                                        .k = {ones, {1, 3, 1, 1}},
                                        .v = {ones, {1, 3, 1, 1}},
                                        .log_decay = {log_decay, {1, 3, 1, 1}}};
  gatescan::forward(gatescan::cpu{.threads = 2}, gatescan::chunked{2}, in,
                    {.out = {out, {1, 3, 1, 1}}, .final_state = {state, {1, 1, 1, 1}}});

  const float expected[3] = {1, 1.5f, 1.75f};
  float error = std::fabs(state[0] - expected[2]);
  for (int t = 0; t < 3; ++t) error = std::fmax(error, std::fabs(out[t] - expected[t]));
  return error;
}
