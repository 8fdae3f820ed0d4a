#include "gated_head_norm.hpp"

namespace char_lm {
namespace {

// [tokens, heads * values] seen as [tokens * heads, values].
Eigen::Map<matrix> by_head(matrix& m, index heads, index values) {
  return {m.data(), m.rows() * heads, values};
}

}  // namespace

gated_head_norm::gated_head_norm(blueprint& b, index heads, index values)
    : heads_(heads), values_(values), norm_(b, values) {}

void gated_head_norm::forward(const flat& theta, matrix& o, const matrix& gates, index first,
                              matrix& y) {
  normal_.resize(o.rows(), o.cols());
  norm_.forward(theta, by_head(o, heads_, values_), by_head(normal_, heads_, values_));
  y = normal_.array() * silu(gates.middleCols(first, o.cols()).array());
}

void gated_head_norm::backward(const flat& theta, flat& grad, matrix& o, const matrix& gates,
                               index first, const matrix& d_y, matrix& d_o, matrix& d_gates) {
  const auto z = gates.middleCols(first, o.cols()).array();
  d_normal_ = d_y.array() * silu(z);
  d_gates.middleCols(first, o.cols()).array() =
      d_y.array() * normal_.array() * silu_slope(z, z.logistic());
  d_o.setZero(o.rows(), o.cols());
  norm_.backward(theta, grad, by_head(o, heads_, values_), by_head(d_normal_, heads_, values_),
                 by_head(d_o, heads_, values_));
}

}  // namespace char_lm
