// mLSTM: per head m_t = max(log sigmoid(f_t) + m_{t-1}, i_t), a_t = exp((m_{t-1} - m_t) +
// log sigmoid(f_t)), C_t = a_t C_{t-1} + exp(i_t - m_t) k_t v_t^T, n_t the same of k_t alone, and
// o_t = C_t^T q_t / max(|q_t n_t|, exp(-m_t)); f and i are projections, numbers a head.
#pragma once

#include "matrix_mixer.hpp"

namespace char_lm {

class mlstm_mixer final : public matrix_mixer<mlstm_mixer, gatescan::mlstm> {
 public:
  using matrix_mixer::matrix_mixer;
  float plain_bias(index c) const override;

  index gate_columns() const { return 2 * heads_; }
  void make_gates(const matrix& plain);
  void give_gates(auto& x, auto& gates, const operand_columns& at) const {
    x.f = at.numbers(gates, 0);
    x.i = at.numbers(gates, heads_);
  }
  void give_options(recurrence_inputs& x) const;
  void gates_backward(const matrix& plain, matrix& d_plain) const;
};

}  // namespace char_lm
