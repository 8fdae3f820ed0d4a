// Mamba-2: per head s_t = softplus(dt_t + bias), S_t = exp(s_t A) S_{t-1} + B_t (s_t x_t)^T and
// o_t = S_t^T C_t; dt is a projection, a number a head, and A a constant of the head.
#pragma once

#include "matrix_mixer.hpp"

namespace char_lm {

class mamba2_mixer final : public matrix_mixer<mamba2_mixer, gatescan::mamba2> {
 public:
  mamba2_mixer(blueprint& b, index width, index heads);
  float plain_bias(index c) const override;

  index gate_columns() const { return heads_; }
  void make_gates(const matrix& plain) { gates_ = plain.leftCols(heads_); }
  static void give_rows(auto& x, const auto& q, const auto& k, const auto& v) {
    x.C = q, x.B = k, x.x = v;
  }
  void give_gates(auto& x, auto& gates, const operand_columns& at) const {
    x.dt = at.numbers(gates, 0);
  }
  void give_options(recurrence_inputs& x) const {
    x.A = {a_.data(), {heads_}};
    x.softplus = true;
  }
  void gates_backward(const matrix&, matrix& d_plain) const { d_plain.leftCols(heads_) = d_gates_; }

 private:
  std::vector<float> a_;
};

}  // namespace char_lm
