// Selective scan (Mamba): channel by channel h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,
// y_t = (C_t h_t + D u_t) * silu(z_t), with delta, B and C made of the data.
#pragma once

#include "kernel.hpp"
#include "mixer.hpp"

namespace char_lm {

class selective_scan_mixer final : public mixer {
 public:
  selective_scan_mixer(blueprint& b, index width, index heads);

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
  using recurrence = gatescan::selective_scan;

  void prepare(const flat& theta, const matrix& plain);
  recurrence::problem<float> problem() const;
  recurrence::inputs<float> inputs(const matrix& convolved, const matrix& plain) const;
  recurrence::gradients<float> gradients(matrix& d_convolved, matrix& d_plain);

  index heads_;  // only groups the channels of the attention maps
  index channels_, states_, rank_;
  linear widen_;  // delta = low_rank_delta W
  slot log_minus_a_, skip_, delta_bias_;
  extent size_;
  kernel<recurrence> kernel_;
  matrix low_, delta_, a_, d_vector_, bias_, out_;
  matrix d_delta_, d_low_, d_a_, d_skip_, d_bias_;
  matrix state_;  // [channels, states]
};

}  // namespace char_lm
