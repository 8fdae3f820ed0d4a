// The time mixing layer: y = mixer(silu(conv(x W_c)), x W_p + b) W_out, with the mixer of one
// recurrence.
#pragma once

#include "mixer.hpp"
#include "short_conv.hpp"

namespace char_lm {

class time_mixing {
 public:
  time_mixing(blueprint& b, const std::string& recurrence, index width, index heads,
              float out_gain);

  void plan(const extent& size, const execution& how);
  void forward(const flat& theta, const matrix& x, matrix& y);
  void backward(const flat& theta, flat& grad, const matrix& x, const matrix& d_y, matrix& d_x);

  /// Streaming: empties the state; then one token [1, width] a call.
  void reset();
  void step(const flat& theta, const matrix& x, matrix& y);

  std::vector<matrix> attention_maps() { return mixer_->attention_maps(convolved_, plain_); }
  std::vector<mode_time> time_all_modes(const execution& how) {
    return mixer_->time_all_modes(convolved_, plain_, how);
  }

 private:
  std::unique_ptr<mixer> mixer_;
  linear to_convolved_, to_plain_;
  short_conv conv_;
  linear out_;
  extent size_;
  matrix before_conv_, convolved_, plain_, mixed_;
  matrix d_before_conv_, d_convolved_, d_plain_, d_mixed_, d_x_part_;
  matrix past_;  // streaming: the convolution's last inputs
};

}  // namespace char_lm
