// The device grid with products in tf32. A factor is off by up to 2^-11 of it. A result is made of
// products of products: q, k, scores, values and states are each rounded, the gradient of a score
// once more; errors of single terms have no common sign.
#include "device.hpp"
//
#include "device_grid.hpp"

#include <gatescan/backends/cuda/backend.hpp>

// plain C++ can name the policy
static_assert(gatescan::detail::tf32_backend<gatescan::cuda_tf32>);
static_assert(!gatescan::detail::tf32_backend<gatescan::cuda>);

namespace support {

// numbers of the tests' own format go to a device that multiplies in tf32
using tf32_float = gatescan::detail::with_tf32<gatescan::device<float>>;
template <>
struct backend_of<tf32_float> {
  using format = gatescan::device<float>;
#if defined(__CUDACC__)
  static gatescan::cuda_tf32 make(const settings&) { return {}; }
#else
  static emulated_tf32_gpu make(const settings&) { return {}; }
#endif
};
template <>
tolerance tolerance_of<tf32_float>() {
  constexpr double factor = 0x1p-11;
  return {4 * factor, 2 * factor, 4 * factor, 4 * factor, 0x1p-126};
}

}  // namespace support

namespace device_grid {

template <class O>
using tf32 = ::testing::Types<cell<O, support::tf32_float>>;
INSTANTIATE_TYPED_TEST_SUITE_P(gla, device_grid, tf32<gla>);
INSTANTIATE_TYPED_TEST_SUITE_P(gateloop, device_grid, tf32<gateloop>);

// it is really used, and not where tokens go one by one
TEST(tf32_device, rounds_products_of_chunks) {
  using O = gla;
  const auto in = rounded<O, float>(problem<O>({1, 100, 2, 16, 16}, options{}, 9));
  const auto want = O::forward(in).out;
  const auto error = [&](const mode& m) {
    return relative_rms(run_forward<O, support::tf32_float>(m, in).out, want, 0, 0);
  };
  EXPECT_GT(error({mode::chunked, 64}), 1e-5);
  EXPECT_LT(error({mode::recurrent, 0}), 1e-6);
}

}  // namespace device_grid
