#include "mlstm_mixer.hpp"

#include <cmath>

namespace char_lm {

// Forget gates of 3 to 6, as in the paper: memories from about 20 to about 400 tokens, one a head.
float mlstm_mixer::plain_bias(index c) const {
  if (c >= heads_) return 0;
  return 3.0f + 3.0f * static_cast<float>(c) / static_cast<float>(std::max<index>(1, heads_ - 1));
}

void mlstm_mixer::make_gates(const matrix& plain) { gates_ = plain.leftCols(2 * heads_); }
void mlstm_mixer::gates_backward(const matrix&, matrix& d_plain) const {
  d_plain.leftCols(2 * heads_) = d_gates_;
}

void mlstm_mixer::give_options(recurrence_inputs& x) const {
  x.scale = 1 / std::sqrt(static_cast<double>(keys_));
}

}  // namespace char_lm
