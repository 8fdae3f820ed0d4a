// The attention map on a device: the CPU's (tests/modes/attention_map_test.cpp) element by element.
#include "../support/compare.hpp"
#include "device.hpp"

namespace {

using namespace support;

const std::vector<sizes> all_sizes{
    {2, 1, 2, 3, 2}, {1, 17, 2, 5, 3}, {2, 35, 2, 33, 1}, {1, 0, 1, 2, 2}};

template <class O, class T, class Backend, class Inputs>
auto map_on(const Backend& backend, const Inputs& in, const extents& shape, bool complex) {
  stored<double> map(shape, complex, layouts::odd, poison_nan);
  prepared<O, T> p(in, {});
  if (complex) {
    gatescan::attention_map(backend, p.lib, gatescan::complex_view<double>(map));
  } else {
    if constexpr (!std::is_same_v<O, complex_elementwise>)
      gatescan::attention_map(backend, p.lib, gatescan::view<double>(map));
  }
  EXPECT_TRUE(map.guards_intact());
  tensor<cplx<double>> r;
  map.read(r);
  return r;
}

template <class O, class Shape>
void check(bool complex, Shape shape) {
  for (const sizes& n : all_sizes)
    for (const int64 sequences : {0, 1, 4}) {
      if (sequences > 0 && n.B > 1) continue;
      options c;
      c.gate = gates::resets;
      c.sequences = sequences;
      const auto in = problem<O>(n, c, 180);
      SCOPED_TRACE(::testing::Message() << n << " " << c);
      const auto want = map_on<O, double>(gatescan::cpu{}, in, shape(n), complex);
      const auto got = map_on<O, gatescan::device<double>>(emulated_gpu{}, in, shape(n), complex);
      EXPECT_LE(relative_rms(got, want, 1, 0), 1e-13);
      for (std::size_t i = 0; i < want.data.size(); ++i)
        ASSERT_EQ(want.data[i] == cplx<double>{}, got.data[i] == cplx<double>{}) << i;
    }
}

TEST(attention_map, of_gla_on_a_device) {
  check<gla>(false, [](const sizes& n) { return extents{n.B, n.H, n.L, n.L}; });
}
TEST(attention_map, of_gated_delta_net_on_a_device) {
  check<gated_delta_net>(false, [](const sizes& n) { return extents{n.B, n.H, n.L, n.L}; });
}
TEST(attention_map, of_mamba2_and_rwkv_on_a_device) {
  const auto shape = [](const sizes& n) { return extents{n.B, n.H, n.L, n.L}; };
  check<mamba2>(false, shape);
  check<rwkv6>(false, shape);
  check<rwkv7>(false, shape);
}
TEST(attention_map, of_averages_on_a_device) {
  const auto shape = [](const sizes& n) { return extents{n.B, n.H, n.L, n.L}; };
  check<linear_attention>(false, shape);
  check<mlstm>(false, shape);
  check<aaren>(false, shape);
  check<rwkv4>(false, [](const sizes& n) { return extents{n.B, n.H * n.V, n.L, n.L}; });
}
TEST(attention_map, of_gateloop_on_a_device) {
  check<gateloop>(false, [](const sizes& n) { return extents{n.B, n.H, n.L, n.L}; });
}
TEST(attention_map, of_selective_scan_on_a_device) {
  check<selective_scan>(false, [](const sizes& n) { return extents{n.B, n.H, n.L, n.L}; });
}
TEST(attention_map, of_elementwise_on_a_device) {
  const auto shape = [](const sizes& n) { return extents{n.B, n.H, n.V, n.L, n.L}; };
  check<complex_elementwise>(true, shape);
  check<real_elementwise>(false, shape);
}

}  // namespace
