#include "library.hpp"

#include <vector>

void sums(const gatescan::cpu& backend, const gatescan::chunked& mode,
          const gatescan::view<const float>& x, const gatescan::view<float>& out,
          const gatescan::workspace& scratch) {
  static const float one = 1;
  gatescan::elementwise::inputs<float> in;
  in.x = x;
  in.a = gatescan::view<const float>{&one, x};
  for (int i = 0; i < x.rank; ++i) in.a.stride[i] = 0;
  gatescan::elementwise::outputs<float> to;
  to.out = out;
  gatescan::forward(backend, mode, in, to, scratch);
}

float widened(gatescan::bf16 x) { return static_cast<float>(x); }
