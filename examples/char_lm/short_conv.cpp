#include "short_conv.hpp"

#include <algorithm>

#include "ranks.hpp"

namespace char_lm {
namespace {

constexpr index edge = short_conv::width - 1;  // tokens that a piece reads of the one before

// The last tokens of each sequence.
matrix last_rows(const extent& size, const matrix& x) {
  matrix last(size.batch * edge, x.cols());
  for (index b = 0; b < size.batch; ++b)
    last.middleRows(b * edge, edge) = x.middleRows((b + 1) * size.time - edge, edge);
  return last;
}
std::span<float> numbers(matrix& x) { return {x.data(), static_cast<std::size_t>(x.size())}; }

}  // namespace

short_conv::short_conv(blueprint& b, index channels)
    : taps_(b.normal(width, channels, 0.3f)),
      bias_(b.filled(1, channels, [](index, index) { return 0.0f; })) {}

bool short_conv::continues() const { return sequence_ != nullptr && sequence_->place() > 0; }

// Tap j multiplies the input of `width - 1 - j` tokens ago.
void short_conv::forward(const flat& theta, const extent& size, const matrix& x, matrix& y) {
  if (sequence_ != nullptr) {
    matrix last = last_rows(size, x);
    before_.setZero(last.rows(), last.cols());
    sequence_->pass(true, numbers(last), numbers(before_));
  }
  const auto taps = taps_.in(theta);
  const auto bias = bias_.in(theta);
  sum_.resize(x.rows(), x.cols());
  y.resize(x.rows(), x.cols());
  for (index b = 0; b < size.batch; ++b)
    for (index t = 0; t < size.time; ++t) {
      const index row = b * size.time + t;
      auto sum = sum_.row(row).array();
      sum = bias.row(0).array();
      for (index j = 0; j < width; ++j) {
        const index from = t - (width - 1 - j);
        if (from >= 0)
          sum += taps.row(j).array() * x.row(b * size.time + from).array();
        else if (continues())
          sum += taps.row(j).array() * before_.row((b + 1) * edge + from).array();
      }
      y.row(row).array() = sum * sum.logistic();
    }
}

void short_conv::backward(const flat& theta, flat& grad, const extent& size, const matrix& x,
                          matrix& d_y, matrix& d_x) {
  const auto taps = taps_.in(theta);
  auto d_taps = taps_.in(grad);
  auto d_bias = bias_.in(grad);
  d_x.setZero(x.rows(), x.cols());
  matrix d_before = matrix::Zero(before_.rows(), before_.cols());
  for (index b = 0; b < size.batch; ++b)
    for (index t = 0; t < size.time; ++t) {
      const index row = b * size.time + t;
      const auto sum = sum_.row(row).array();
      auto d_sum = d_y.row(row).array();
      sigmoid_ = sum.logistic();
      d_sum *= sigmoid_ * (1.0f + sum * (1.0f - sigmoid_));
      d_bias.row(0).array() += d_sum;
      const auto add = [&](index j, const matrix& in, matrix& d_in, index from) {
        d_taps.row(j).array() += d_sum * in.row(from).array();
        d_in.row(from).array() += d_sum * taps.row(j).array();
      };
      for (index j = 0; j < width; ++j) {
        const index from = t - (width - 1 - j);
        if (from >= 0)
          add(j, x, d_x, b * size.time + from);
        else if (continues())
          add(j, before_, d_before, (b + 1) * edge + from);
      }
    }
  if (sequence_ == nullptr) return;
  matrix d_last = matrix::Zero(d_before.rows(), d_before.cols());
  sequence_->pass(false, numbers(d_before), numbers(d_last));
  for (index b = 0; b < size.batch; ++b)
    d_x.middleRows((b + 1) * size.time - edge, edge) += d_last.middleRows(b * edge, edge);
}

void short_conv::step(const flat& theta, matrix& past, const matrix& x, matrix& y) const {
  const auto taps = taps_.in(theta);
  row_array sum = bias_.in(theta).row(0);
  for (index j = 0; j + 1 < width; ++j) sum += taps.row(j).array() * past.row(j).array();
  sum += taps.row(width - 1).array() * x.row(0).array();
  y = (sum * sum.logistic()).matrix();
  for (index j = 0; j + 2 < width; ++j) past.row(j) = past.row(j + 1);
  past.row(width - 2) = x.row(0);
}

}  // namespace char_lm
