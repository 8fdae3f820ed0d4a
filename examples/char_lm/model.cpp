#include "model.hpp"

#include <cmath>

namespace char_lm {

// Layers that write to the residual stream start smaller, so that its size does not grow with
// depth.
block::block(blueprint& b, const architecture& a)
    : mixing_norm_(b, a.width),
      mixing_(b, a.recurrence, a.width, a.heads, 1 / std::sqrt(2 * static_cast<float>(a.depth))),
      mlp_norm_(b, a.width),
      mlp_(b, a.width, (a.width * 8 / 3 + 15) / 16 * 16,
           1 / std::sqrt(2 * static_cast<float>(a.depth))) {}

void block::forward(const flat& theta, matrix& x) {
  x_in_ = x;
  normal_in_.resize(x.rows(), x.cols());
  mixing_norm_.forward(theta, x, normal_in_);
  mixing_.forward(theta, normal_in_, y_);
  x += y_;
  x_middle_ = x;
  normal_middle_.resize(x.rows(), x.cols());
  mlp_norm_.forward(theta, x, normal_middle_);
  mlp_.forward(theta, normal_middle_, y_);
  x += y_;
}

void block::backward(const flat& theta, flat& grad, matrix& d_x) {
  mlp_.backward(theta, grad, normal_middle_, d_x, d_normal_);
  mlp_norm_.backward(theta, grad, x_middle_, d_normal_, d_x);
  mixing_.backward(theta, grad, normal_in_, d_x, d_normal_);
  mixing_norm_.backward(theta, grad, x_in_, d_normal_, d_x);
}

void block::step(const flat& theta, matrix& x) {
  normal_in_.resize(x.rows(), x.cols());
  mixing_norm_.forward(theta, x, normal_in_);
  mixing_.step(theta, normal_in_, y_);
  x += y_;
  mlp_norm_.forward(theta, x, normal_in_);
  mlp_.forward(theta, normal_in_, y_);
  x += y_;
}

model::model(blueprint& b, const architecture& a)
    : embedding_(b.normal(alphabet, a.width, 0.5f)),
      blocks_([&] {
        std::vector<block> blocks;
        for (index i = 0; i < a.depth; ++i) blocks.emplace_back(b, a);
        return blocks;
      }()),
      norm_(b, a.width),
      head_(b, a.width, alphabet, 0.5f) {}

void model::plan(const extent& size, const execution& how) {
  for (block& b : blocks_) b.plan(size, how);
}

const matrix& model::forward(const flat& theta, std::span<const std::uint8_t> bytes) {
  const auto embedding = embedding_.in(theta);
  const index tokens = static_cast<index>(bytes.size());
  bytes_.assign(bytes.begin(), bytes.end());
  x_.resize(tokens, embedding.cols());
  for (index t = 0; t < tokens; ++t) x_.row(t) = embedding.row(bytes[static_cast<std::size_t>(t)]);
  for (block& b : blocks_) b.forward(theta, x_);
  normal_.resize(x_.rows(), x_.cols());
  norm_.forward(theta, x_, normal_);
  head_.forward(theta, normal_, logits_);
  return logits_;
}

double model::loss(std::span<const std::uint8_t> targets) {
  targets_.assign(targets.begin(), targets.end());
  probabilities_.resize(logits_.rows(), logits_.cols());
  double sum = 0;
  for (index t = 0; t < logits_.rows(); ++t) {
    const float largest = logits_.row(t).maxCoeff();
    auto p = probabilities_.row(t).array();
    p = (logits_.row(t).array() - largest).exp();
    const float total = p.sum();
    p /= total;
    sum += static_cast<double>(std::log(total) + largest -
                               logits_(t, targets[static_cast<std::size_t>(t)]));
  }
  return sum;
}

void model::backward(const flat& theta, flat& grad, float weight) {
  for (index t = 0; t < probabilities_.rows(); ++t)
    probabilities_(t, targets_[static_cast<std::size_t>(t)]) -= 1;
  probabilities_ *= weight;  // the gradient of the logits
  head_.backward(theta, grad, normal_, probabilities_, d_normal_);
  d_x_.setZero(x_.rows(), x_.cols());
  norm_.backward(theta, grad, x_, d_normal_, d_x_);
  for (auto b = blocks_.rbegin(); b != blocks_.rend(); ++b) b->backward(theta, grad, d_x_);
  auto d_embedding = embedding_.in(grad);
  for (index t = 0; t < d_x_.rows(); ++t)
    d_embedding.row(bytes_[static_cast<std::size_t>(t)]) += d_x_.row(t);
}

void model::reset() {
  for (block& b : blocks_) b.reset();
}

const matrix& model::step(const flat& theta, std::uint8_t byte) {
  x_ = embedding_.in(theta).row(byte);
  for (block& b : blocks_) b.step(theta, x_);
  normal_.resize(1, x_.cols());
  norm_.forward(theta, x_, normal_);
  head_.forward(theta, normal_, logits_);
  return logits_;
}

}  // namespace char_lm
