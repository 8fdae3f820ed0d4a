#include "short_conv.hpp"

#include <algorithm>

namespace char_lm {

short_conv::short_conv(blueprint& b, index channels)
    : taps_(b.normal(width, channels, 0.3f)),
      bias_(b.filled(1, channels, [](index, index) { return 0.0f; })) {}

// Tap j multiplies the input of `width - 1 - j` tokens ago.
void short_conv::forward(const flat& theta, const extent& size, const matrix& x, matrix& y) {
  const auto taps = taps_.in(theta);
  const auto bias = bias_.in(theta);
  sum_.resize(x.rows(), x.cols());
  y.resize(x.rows(), x.cols());
  for (index b = 0; b < size.batch; ++b)
    for (index t = 0; t < size.time; ++t) {
      const index row = b * size.time + t;
      auto sum = sum_.row(row).array();
      sum = bias.row(0).array();
      for (index j = std::max<index>(0, width - 1 - t); j < width; ++j)
        sum += taps.row(j).array() * x.row(row - (width - 1 - j)).array();
      y.row(row).array() = sum * sum.logistic();
    }
}

void short_conv::backward(const flat& theta, flat& grad, const extent& size, const matrix& x,
                          matrix& d_y, matrix& d_x) {
  const auto taps = taps_.in(theta);
  auto d_taps = taps_.in(grad);
  auto d_bias = bias_.in(grad);
  d_x.setZero(x.rows(), x.cols());
  for (index b = 0; b < size.batch; ++b)
    for (index t = 0; t < size.time; ++t) {
      const index row = b * size.time + t;
      const auto sum = sum_.row(row).array();
      auto d_sum = d_y.row(row).array();
      sigmoid_ = sum.logistic();
      d_sum *= sigmoid_ * (1.0f + sum * (1.0f - sigmoid_));
      d_bias.row(0).array() += d_sum;
      for (index j = std::max<index>(0, width - 1 - t); j < width; ++j) {
        const index from = row - (width - 1 - j);
        d_taps.row(j).array() += d_sum * x.row(from).array();
        d_x.row(from).array() += d_sum * taps.row(j).array();
      }
    }
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
