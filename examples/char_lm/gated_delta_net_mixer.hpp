// Gated DeltaNet: per head S' = exp(log_decay_t) S_{t-1}, S_t = S' + beta_t k_t (v_t - S'^T k_t)^T
// and o_t = S_t^T q_t, q and k of length 1; log_decay = log sigmoid(projection) / 16 and beta =
// sigmoid(projection), numbers a head.
#pragma once

#include "matrix_mixer.hpp"

namespace char_lm {

class gated_delta_net_mixer final
    : public matrix_mixer<gated_delta_net_mixer, gatescan::gated_delta_net> {
 public:
  using matrix_mixer::matrix_mixer;
  float plain_bias(index c) const override;

  index gate_columns() const { return 2 * heads_; }
  void make_gates(const matrix& plain);
  void give_gates(auto& x, auto& gates, const operand_columns& at) const {
    x.log_decay = at.of_heads(gates, 0, 1);
    x.beta = at.numbers(gates, heads_);
  }
  void give_options(recurrence_inputs& x) const { x.normalise = true; }
  void gates_backward(const matrix& plain, matrix& d_plain) const;
};

}  // namespace char_lm
