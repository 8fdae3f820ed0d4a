// RWKV-7: per head S_t = diag(exp(w_t)) S_{t-1} + b_t (a_t^T S_{t-1}) + k_t v_t^T, o_t = S_t^T r_t.
// a = -u and b = u rate, u being a projection of length 1, w = -e^(-1/2) sigmoid(projection) and
// rate = sigmoid(projection), numbers a key.
#pragma once

#include "matrix_mixer.hpp"

namespace char_lm {

class rwkv7_mixer final : public matrix_mixer<rwkv7_mixer, gatescan::rwkv7> {
 public:
  using matrix_mixer::matrix_mixer;
  float plain_bias(index c) const override;

  index gate_columns() const { return 3 * all_keys(); }
  void make_gates(const matrix& plain);
  static void give_rows(auto& x, const auto& q, const auto& k, const auto& v) {
    x.r = q, x.k = k, x.v = v;
  }
  void give_gates(auto& x, auto& gates, const operand_columns& at) const {
    x.w = at.of_heads(gates, 0, keys_);
    x.a = at.of_heads(gates, all_keys(), keys_);
    x.b = at.of_heads(gates, 2 * all_keys(), keys_);
  }
  void give_options(recurrence_inputs& x) const;
  void gates_backward(const matrix& plain, matrix& d_plain) const;

 private:
  // 1 by the length of a head's rows of u, as they are projected.
  Eigen::ArrayXf inverse_lengths(const matrix& plain, index head) const;
};

}  // namespace char_lm
