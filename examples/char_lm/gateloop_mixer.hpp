// GateLoop: per head S_t = diag(a_t) S_{t-1} + k_t v_t^T with complex data-controlled gates
// a_t = exp(log_magnitude_t + i phase_t), o_t = Re(S_t^T q_t); log_magnitude = log
// sigmoid(projection) / 16 and phase = projection, a key channel. The turning phases act as
// data-controlled relative positions.
#pragma once

#include "gated_head_norm.hpp"
#include "kernel.hpp"
#include "mixer.hpp"

namespace char_lm {

class gateloop_mixer final : public mixer {
 public:
  gateloop_mixer(blueprint& b, index width, index heads);

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
  using recurrence = gatescan::gateloop;

  void make_gates(const matrix& plain);
  recurrence::problem<float> problem() const;
  recurrence::inputs<float> inputs(const matrix& convolved) const;
  recurrence::gradients<float> gradients(matrix& d_convolved);

  index heads_, keys_, values_;
  gated_head_norm finish_;
  extent size_;
  kernel<recurrence> kernel_;
  matrix gates_, o_, d_gates_, d_o_;  // gates: log magnitudes, then phases
  matrix state_re_, state_im_;        // [heads * keys, values]
};

}  // namespace char_lm
