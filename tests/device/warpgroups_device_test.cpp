// Products of four warps at once: the bits of products of one, in every kind of gate and tile.
#include "device.hpp"
//
#include "../grid/check.hpp"

#include <gatescan/backends/cuda/backend.hpp>

static_assert(gatescan::detail::warpgroup_backend<gatescan::cuda_warpgroups>);
static_assert(!gatescan::detail::warpgroup_backend<gatescan::cuda>);

namespace support {

// numbers of the tests' own format go to a device that multiplies by warpgroups
template <class S>
using by_warpgroups = gatescan::detail::by_warpgroups<gatescan::device<S>>;
template <class S>
struct backend_of<gatescan::detail::by_warpgroups<gatescan::device<S>>> {
  using format = gatescan::device<S>;
#if defined(__CUDACC__)
  static gatescan::cuda_warpgroups make(const settings&) { return {}; }
#else
  static emulated_warpgroup_gpu make(const settings&) { return {}; }
#endif
};

}  // namespace support

namespace {

using namespace support;

template <class Cell>
class warpgroups : public ::testing::Test {
#if defined(__CUDACC__)
  void SetUp() override {
    cudaDeviceProp device{};
    ASSERT_EQ(cudaGetDeviceProperties(&device, 0), cudaSuccess);
    if (device.major != 9 || device.minor != 0) GTEST_SKIP() << "needs compute capability 9.0";
  }
#endif
};
using cells =
    ::testing::Types<grid::cell<gla, gatescan::bf16>, grid::cell<gateloop, gatescan::bf16>,
                     grid::cell<gla, gatescan::half>>;
TYPED_TEST_SUITE(warpgroups, cells);

// the results of a call and of the same one by warpgroups
template <class O, class S>
void expect_the_same_bits(const mode& m, const sizes& n, const options& c) {
  SCOPED_TRACE(::testing::Message() << m << " " << n << " " << c);
  const auto in = rounded<O, S>(problem<O>(n, c, 7));
  const auto one = run_forward<O, gatescan::device<S>>(m, in, settings{}),
             other = run_forward<O, by_warpgroups<S>>(m, in, settings{});
  expect_results<O>(other, one, tolerance{});
  const auto dout = rounded_results<O, S>(random_gradients<O>(one, 8));
  expect_gradients<O>(run_backward<O, by_warpgroups<S>>(m, in, dout, settings{}),
                      run_backward<O, gatescan::device<S>>(m, in, dout, settings{}), tolerance{});
}

TYPED_TEST(warpgroups, tiles) {
  using O = typename TypeParam::oracle;
  using S = typename TypeParam::scalar;
  options c;
  c.gate = gates::mixed;
  for (const sizes& n : {sizes{1, 37, 2, 3, 2}, sizes{1, 100, 1, 66, 70}, sizes{1, 64, 1, 64, 64}})
    for (const mode& m : {mode{mode::chunked, 0}, mode{mode::chunked, 80}})
      expect_the_same_bits<O, S>(m, n, c);
}

}  // namespace
