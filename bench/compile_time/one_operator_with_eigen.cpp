// One operator, forward and backward, on Eigen's matrices.
#include <Eigen/Core>
#include <gatescan/adapt/eigen.hpp>
#include <gatescan/gatescan.hpp>

using gatescan::gla, gatescan::rows_are_time;
using matrix = Eigen::MatrixXf;

void train(const matrix& q, const matrix& k, const matrix& v, const matrix& log_decay, matrix& out,
           const matrix& d_out, matrix& d_q) {
  const gla::inputs<float> in{.q = rows_are_time(q),
                              .k = rows_are_time(k),
                              .v = rows_are_time(v),
                              .log_decay = rows_are_time(log_decay)};
  gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, in, {.out = rows_are_time(out)});
  gatescan::backward(gatescan::cpu{}, gatescan::chunked{}, in, {.out = rows_are_time(d_out)},
                     {.q = rows_are_time(d_q)});
}
