#include "gla_mixer.hpp"

#include <cmath>

namespace char_lm {

// Memories from about 4 to about 900 tokens in every head.
float gla_mixer::plain_bias(index c) const {
  return c < all_keys() ? -4.0f + 8.0f * place_in_head(c) : 0;
}

void gla_mixer::make_gates(const matrix& plain) {
  gates_ = log_decay(plain.leftCols(all_keys()).array());
}
void gla_mixer::gates_backward(const matrix& plain, matrix& d_plain) const {
  d_plain.leftCols(all_keys()).array() =
      log_decay_adjoint(plain.leftCols(all_keys()).array(), d_gates_.array());
}

void gla_mixer::give_options(recurrence_inputs& x) const {
  x.scale = 1 / std::sqrt(static_cast<double>(keys_));
}

}  // namespace char_lm
