// Gated linear attention: per head S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T, o_t = S_t^T
// q_t, with log_decay = log sigmoid(projection) / 16 a key channel.
#pragma once

#include "gated_head_norm.hpp"
#include "kernel.hpp"
#include "mixer.hpp"

namespace char_lm {

class gla_mixer final : public mixer {
 public:
  gla_mixer(blueprint& b, index width, index heads);

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
  using recurrence = gatescan::gla;

  recurrence::problem<float> problem() const;
  recurrence::inputs<float> inputs(const matrix& convolved) const;
  recurrence::gradients<float> gradients(matrix& d_convolved);

  index heads_, keys_, values_;
  double scale_;
  gated_head_norm finish_;
  extent size_;
  kernel<recurrence> kernel_;
  matrix log_decay_, o_, d_log_decay_, d_o_;
  matrix state_;  // [heads * keys, values]
};

}  // namespace char_lm
