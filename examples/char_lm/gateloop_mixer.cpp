#include "gateloop_mixer.hpp"

#include <cmath>

namespace char_lm {

// In every head memories from about 4 to about 900 tokens, and turns from one radian to almost
// none.
float gateloop_mixer::plain_bias(index c) const {
  if (c >= 2 * all_keys()) return 0;
  return c < all_keys() ? -4.0f + 8.0f * place_in_head(c) : std::pow(0.005f, place_in_head(c));
}

void gateloop_mixer::make_gates(const matrix& plain) {
  gates_ = plain.leftCols(2 * all_keys());
  gates_.leftCols(all_keys()).array() = log_decay(plain.leftCols(all_keys()).array());
}
void gateloop_mixer::gates_backward(const matrix& plain, matrix& d_plain) const {
  d_plain.leftCols(all_keys()).array() =
      log_decay_adjoint(plain.leftCols(all_keys()).array(), d_gates_.leftCols(all_keys()).array());
  d_plain.middleCols(all_keys(), all_keys()) = d_gates_.rightCols(all_keys());
}

}  // namespace char_lm
