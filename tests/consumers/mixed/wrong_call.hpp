// A call with one token too few of x.
#pragma once

#include <gatescan/gatescan.hpp>

// Internal linkage: compiled with the flags of whoever includes it. Returns if the library does.
static void wrong_call(float* out) {
  const float ones[3] = {1, 1, 1};
  gatescan::elementwise::inputs<float> in;
  in.a = gatescan::view<const float>{ones, {1, 3, 1, 1}};
  in.x = gatescan::view<const float>{ones, {1, 2, 1, 1}};
  gatescan::elementwise::outputs<float> to;
  to.out = gatescan::view<float>{out, {1, 3, 1, 1}};
  gatescan::forward(gatescan::cpu{.threads = 1}, gatescan::recurrent{}, in, to);
}
