#include <gatescan/backends/cpu/simd/pack4.hpp>

#include "scan.hpp"
#include "vector_extensions.hpp"

namespace simd_layer {

static void library_exp(const float* x, float* y, int n) {
  namespace simd = gatescan::simd;
  constexpr int lanes = simd::lanes<float>;
  for (int i = 0; i < n; i += 4 * lanes) {
    const simd::pack4<float> e =
        simd::exp(simd::pack4<float>(simd::load(x + i), simd::load(x + i + lanes),
                                     simd::load(x + i + 2 * lanes), simd::load(x + i + 3 * lanes)));
    simd::store(y + i, e.a);
    simd::store(y + i + lanes, e.b);
    simd::store(y + i + 2 * lanes, e.c);
    simd::store(y + i + 3 * lanes, e.d);
  }
}

layer with_vector_extensions() {
  using self = vector_extensions;
  return {"vector extensions", self::lanes, scan<self>::run, exp_all<self>, library_exp};
}

}  // namespace simd_layer
