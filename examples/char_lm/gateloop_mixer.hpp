// GateLoop: per head S_t = diag(a_t) S_{t-1} + k_t v_t^T with complex data-controlled gates
// a_t = exp(log_magnitude_t + i phase_t), o_t = Re(S_t^T q_t); log_magnitude = log
// sigmoid(projection) / 16 and phase = projection, a key channel. The turning phases act as
// data-controlled relative positions.
#pragma once

#include "matrix_mixer.hpp"

namespace char_lm {

class gateloop_mixer final : public matrix_mixer<gateloop_mixer, gatescan::gateloop> {
 public:
  using matrix_mixer::matrix_mixer;
  float plain_bias(index c) const override;

  index gate_columns() const { return 2 * all_keys(); }
  void make_gates(const matrix& plain);
  void give_gates(auto& x, auto& gates, const operand_columns& at) const {
    x.log_magnitude = at.of_heads(gates, 0, keys_);
    x.phase = at.of_heads(gates, all_keys(), keys_);
  }
  void give_options(recurrence_inputs&) const {}
  void gates_backward(const matrix& plain, matrix& d_plain) const;
};

}  // namespace char_lm
