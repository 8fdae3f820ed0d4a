#include "gated_delta_net_mixer.hpp"

namespace char_lm {

// Memories from about 20 to about 900 tokens, one a head.
float gated_delta_net_mixer::plain_bias(index c) const {
  if (c >= heads_) return 0;
  return 4.0f * static_cast<float>(c) / static_cast<float>(std::max<index>(1, heads_ - 1));
}

void gated_delta_net_mixer::make_gates(const matrix& plain) {
  gates_.resize(plain.rows(), 2 * heads_);
  gates_.leftCols(heads_).array() = log_decay(plain.leftCols(heads_).array());
  gates_.rightCols(heads_).array() = plain.middleCols(heads_, heads_).array().logistic();
}
void gated_delta_net_mixer::gates_backward(const matrix& plain, matrix& d_plain) const {
  const auto beta = gates_.rightCols(heads_).array();
  d_plain.leftCols(heads_).array() =
      log_decay_adjoint(plain.leftCols(heads_).array(), d_gates_.leftCols(heads_).array());
  d_plain.middleCols(heads_, heads_).array() =
      d_gates_.rightCols(heads_).array() * beta * (1.0f - beta);
}

}  // namespace char_lm
