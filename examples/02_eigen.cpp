// Eigen matrices are operands as they are: a row is a token, the columns are heads x features.
#include <Eigen/Dense>
#include <algorithm>
#include <cstdio>
#include <gatescan/gatescan.hpp>

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using gatescan::rows_are_time;

int main() {
  const Eigen::Index L = 100, heads = 2, K = 4, V = 6, model = 10;
  std::srand(1);
  const row_major x = row_major::Random(L, model);  // what a layer gets

  // One projection for q, k and v, as many models have it; blocks of it are operands too.
  const row_major weights = row_major::Random(model, heads * (2 * K + V));
  const row_major qkv = x * weights;
  const auto q = qkv.leftCols(heads * K), k = qkv.middleCols(heads * K, heads * K);
  const auto v = qkv.rightCols(heads * V);

  // Eigen's own order is column-major: good as well, the view carries the strides.
  const Eigen::MatrixXf gate = Eigen::MatrixXf::Random(L, heads * K).array() - 1.0f;  // in [-2, 0]
  row_major out(L, heads * V);
  const gatescan::gla::inputs<float> in{.q = rows_are_time(q, heads),
                                        .k = rows_are_time(k, heads),
                                        .v = rows_are_time(v, heads),
                                        .log_decay = rows_are_time(gate, heads)};
  gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, in, {.out = rows_are_time(out, heads)});

  // The last head by hand.
  Eigen::MatrixXf state = Eigen::MatrixXf::Zero(K, V);
  float difference = 0;
  for (Eigen::Index t = 0; t < L; ++t) {
    const Eigen::VectorXf decay = gate.row(t).tail(K).array().exp();
    state = decay.asDiagonal() * state + k.row(t).tail(K).transpose() * v.row(t).tail(V);
    const Eigen::RowVectorXf expected = q.row(t).tail(K) * state;
    difference = std::max(difference, (out.row(t).tail(V) - expected).cwiseAbs().maxCoeff());
  }
  std::printf("%ld tokens, %ld heads: largest difference from Eigen's own loop %.2g\n",
              static_cast<long>(L), static_cast<long>(heads), static_cast<double>(difference));
  return difference < 1e-4f ? 0 : 1;
}
