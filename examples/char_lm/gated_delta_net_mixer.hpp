// Gated DeltaNet: per head S' = exp(log_decay_t) S_{t-1}, S_t = S' + beta_t k_t (v_t - S'^T k_t)^T
// and o_t = S_t^T q_t, q and k of length 1; log_decay = log sigmoid(projection) / 16 and beta =
// sigmoid(projection), numbers a head.
#pragma once

#include "gated_head_norm.hpp"
#include "kernel.hpp"
#include "mixer.hpp"

namespace char_lm {

class gated_delta_net_mixer final : public mixer {
 public:
  gated_delta_net_mixer(blueprint& b, index width, index heads);

  mixer_columns columns_wanted() const override;
  float plain_bias(index c) const override;
  void plan(const extent& size, const execution& how) override;
  void forward(const flat& theta, const matrix& convolved, const matrix& plain,
               matrix& out) override;
  void backward(const flat& theta, flat& grad, const matrix& convolved, const matrix& plain,
                const matrix& d_out, matrix& d_convolved, matrix& d_plain) override;
  void reset() override;
  void step(const flat& theta, const matrix& convolved, const matrix& plain, matrix& out) override;
  std::vector<matrix> attention_maps(const matrix& convolved, const matrix& plain) override;
  std::vector<mode_time> time_all_modes(const matrix& convolved, const matrix& plain,
                                        const execution& how) override;

 private:
  using recurrence = gatescan::gated_delta_net;

  recurrence::problem<float> problem() const;
  recurrence::inputs<float> inputs(const matrix& convolved) const;
  recurrence::gradients<float> gradients(matrix& d_convolved);
  void make_gates(const matrix& plain);  // columns: log_decay, beta, then those of finish_

  index heads_, keys_, values_;
  gated_head_norm finish_;
  extent size_;
  kernel<recurrence> kernel_;
  matrix log_decay_, beta_, o_, d_log_decay_, d_beta_, d_o_;
  matrix state_;  // [heads * keys, values]
};

}  // namespace char_lm
