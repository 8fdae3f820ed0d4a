// The layers that treat every token by itself: linear, RMS norm, gated MLP. Activations are
// matrices [tokens, channels]; a backward adds to the gradient of the weights.
#pragma once

#include "parameters.hpp"

namespace char_lm {

/// y = x W (+ b)
class linear {
 public:
  linear(blueprint& b, index in, index out, float gain = 1.0f);

  /// Adds a bias with these initial values.
  linear& with_bias(blueprint& b, const std::function<float(index)>& value);

  void forward(const flat& theta, const matrix& x, matrix& y) const;
  /// Sets d_x.
  void backward(const flat& theta, flat& grad, const matrix& x, const matrix& d_y,
                matrix& d_x) const;
  index outputs() const { return w_.cols; }

 private:
  slot w_, bias_;
};

/// y = gain * x / sqrt(mean(x^2) + epsilon), row by row.
class rms_norm {
 public:
  using rows = Eigen::Ref<matrix>;
  using const_rows = Eigen::Ref<const matrix>;

  rms_norm(blueprint& b, index width);

  void forward(const flat& theta, const const_rows& x, rows y);
  /// Adds to d_x.
  void backward(const flat& theta, flat& grad, const const_rows& x, const const_rows& d_y,
                rows d_x);

 private:
  slot gain_;
  Eigen::VectorXf inverse_;  // 1 / rms of each row of the last forward
};

/// SwiGLU: y = (silu(x W_a) * (x W_b)) W_out
class gated_mlp {
 public:
  gated_mlp(blueprint& b, index width, index hidden, float out_gain);

  void forward(const flat& theta, const matrix& x, matrix& y);
  void backward(const flat& theta, flat& grad, const matrix& x, const matrix& d_y, matrix& d_x);

 private:
  index hidden_;
  linear in_, out_;
  matrix a_b_, product_, d_a_b_, d_product_;
  row_array sigmoid_;
};

// Derivatives of the two activations used everywhere. x and s are Eigen arrays, s = logistic(x).
template <class X>
auto silu(const X& x) {
  return x * x.logistic();
}
template <class X, class S>
auto silu_slope(const X& x, const S& s) {
  return s * (1.0f + x * (1.0f - s));
}

}  // namespace char_lm
