// One operator, forward and backward.
#include <gatescan/gatescan.hpp>

using gatescan::gla;

void train(const gla::inputs<float>& in, const gla::outputs<float>& out,
           const gla::output_gradients<float>& d_out, const gla::gradients<float>& gradients) {
  gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, in, out);
  gatescan::backward(gatescan::cpu{}, gatescan::chunked{}, in, d_out, gradients);
}
