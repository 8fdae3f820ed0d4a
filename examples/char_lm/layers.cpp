#include "layers.hpp"

#include <cmath>

namespace char_lm {

linear::linear(blueprint& b, index in, index out, float gain)
    : w_(b.normal(in, out, gain / std::sqrt(static_cast<float>(in)))) {}

linear& linear::with_bias(blueprint& b, const std::function<float(index)>& value) {
  bias_ = b.filled(1, w_.cols, [&](index, index c) { return value(c); });
  return *this;
}

void linear::forward(const flat& theta, const matrix& x, matrix& y) const {
  y.noalias() = x * w_.in(theta);
  if (bias_.cols > 0) y.rowwise() += bias_.in(theta).row(0);
}

void linear::backward(const flat& theta, flat& grad, const matrix& x, const matrix& d_y,
                      matrix& d_x) const {
  w_.in(grad).noalias() += x.transpose() * d_y;
  if (bias_.cols > 0) bias_.in(grad).row(0) += d_y.colwise().sum();
  d_x.noalias() = d_y * w_.in(theta).transpose();
}

rms_norm::rms_norm(blueprint& b, index width)
    : gain_(b.filled(1, width, [](index, index) { return 1.0f; })) {}

void rms_norm::forward(const flat& theta, const const_rows& x, rows y) {
  const auto gain = gain_.in(theta).row(0).array();
  inverse_ = (x.rowwise().squaredNorm() / static_cast<float>(x.cols())).array() + 1e-6f;
  inverse_ = inverse_.array().rsqrt();
  for (index r = 0; r < x.rows(); ++r) y.row(r).array() = x.row(r).array() * gain * inverse_[r];
}

void rms_norm::backward(const flat& theta, flat& grad, const const_rows& x, const const_rows& d_y,
                        rows d_x) {
  const auto gain = gain_.in(theta).row(0).array();
  auto d_gain = gain_.in(grad).row(0).array();
  const float width = static_cast<float>(x.cols());
  for (index r = 0; r < x.rows(); ++r) {
    const float inverse = inverse_[r];
    const auto x_row = x.row(r).array();
    const auto d_row = d_y.row(r).array();
    d_gain += d_row * x_row * inverse;
    const float along = (d_row * gain * x_row).sum() * inverse * inverse / width;
    d_x.row(r).array() += (d_row * gain - x_row * along) * inverse;
  }
}

gated_mlp::gated_mlp(blueprint& b, index width, index hidden, float out_gain)
    : hidden_(hidden), in_(b, width, 2 * hidden), out_(b, hidden, width, out_gain) {}

void gated_mlp::forward(const flat& theta, const matrix& x, matrix& y) {
  in_.forward(theta, x, a_b_);
  product_ = silu(a_b_.leftCols(hidden_).array()) * a_b_.rightCols(hidden_).array();
  out_.forward(theta, product_, y);
}

void gated_mlp::backward(const flat& theta, flat& grad, const matrix& x, const matrix& d_y,
                         matrix& d_x) {
  out_.backward(theta, grad, product_, d_y, d_product_);
  d_a_b_.resize(x.rows(), 2 * hidden_);
  for (index r = 0; r < x.rows(); ++r) {  // row by row: what is read stays in the cache
    const auto a = a_b_.row(r).head(hidden_).array();
    const auto b = a_b_.row(r).tail(hidden_).array();
    const auto d = d_product_.row(r).array();
    sigmoid_ = a.logistic();
    d_a_b_.row(r).head(hidden_).array() = d * b * silu_slope(a, sigmoid_);
    d_a_b_.row(r).tail(hidden_).array() = d * a * sigmoid_;
  }
  in_.backward(theta, grad, x, d_a_b_, d_x);
}

}  // namespace char_lm
