// Gated linear attention: per head S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T, o_t = S_t^T
// q_t, with log_decay = log sigmoid(projection) / 16 a key channel.
#pragma once

#include "matrix_mixer.hpp"

namespace char_lm {

class gla_mixer final : public matrix_mixer<gla_mixer, gatescan::gla> {
 public:
  using matrix_mixer::matrix_mixer;
  float plain_bias(index c) const override;

  index gate_columns() const { return all_keys(); }
  void make_gates(const matrix& plain);
  void give_gates(auto& x, auto& gates, const operand_columns& at) const {
    x.log_decay = at.of_heads(gates, 0, keys_);
  }
  void give_options(recurrence_inputs& x) const;
  void gates_backward(const matrix& plain, matrix& d_plain) const;
};

}  // namespace char_lm
