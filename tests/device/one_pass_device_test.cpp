// One pass over memory: when it is taken, and what its programs do where numbers are not finite,
// operands are shared, or results have more parts.
#include <utility>

#include "../grid/check.hpp"
#include "../support/emulation/naming_gpu.hpp"
#include "device.hpp"

namespace {

using namespace support;

const std::vector<mode> modes{{mode::chunked, 0}, {mode::scan, 3}};
constexpr auto& tuned = gatescan::detail::gpu::tuned;
constexpr int64 channels = tuned.enough_channels + 2;

// pairs of 16 bits
TEST(one_pass_device, halves_of_pairs) {
  grid::check<real_elementwise, gatescan::device<gatescan::bf16>>({modes[0]},
                                                                  {1, 150, 1, 1, channels}, {});
}
TEST(one_pass_device, what_lies_in_pairs) {
  using gatescan::detail::gpu::diagonal::lies_in_pairs;
  alignas(4) static constexpr std::uint16_t numbers[64] = {};
  gatescan::operand<const std::uint16_t> x;
  x.re = numbers, x.value = 1, x.time = 8, x.head = 4, x.batch = 32;
  gatescan::sizes n;
  n.values = 4;
  EXPECT_TRUE(lies_in_pairs(x, n));
  const auto refused = [&](auto change) {
    auto other = x;
    auto of = n;
    change(other, of);
    return !lies_in_pairs(other, of);
  };
  EXPECT_TRUE(refused([](auto& y, auto&) { y.value = 2; }));
  EXPECT_TRUE(refused([](auto& y, auto&) { y.time = 9; }));
  EXPECT_TRUE(refused([](auto& y, auto&) { y.head = 5; }));
  EXPECT_TRUE(refused([](auto& y, auto&) { y.batch = 33; }));
  EXPECT_TRUE(refused([](auto& y, auto&) { ++y.re; }));
  EXPECT_TRUE(refused([](auto& y, auto&) { y.im = y.re + 1; }));
  EXPECT_TRUE(refused([](auto&, auto& of) { of.values = 3; }));  // the last one has no other
}
// what has no tokens: over the runs of a channel
TEST(one_pass_device, parameters_of_channels) {
  grid::check<rg_lru, gatescan::device<float>>({modes[0]}, {1, 150, 1, 1, channels}, {});
}
// partial sums of heads that share an operand, added afterwards
TEST(one_pass_device, shared_operands) {
  options c;
  c.group = 2;
  grid::check<real_elementwise, gatescan::device<float>>(modes, {1, 37, 2, 1, channels / 2}, c);
}

// whether one pass does forward, and back
template <class T>
std::pair<bool, bool> one_pass(int64 of_channels, layouts layout = layouts::dense) {
  using O = real_elementwise;
  using D = gatescan::device<T>;
  const auto in = rounded<O, D>(problem<O>({1, 70, 1, 1, of_channels}, {}, 7));
  settings s;
  s.layout = layout;
  prepared<O, D> p(in, s), results(in, s);
  typename gatescan::elementwise::outputs<D> out;
  out.out = results.held["x"];
  gatescan::forward(naming_gpu{}, gatescan::chunked{}, p.lib, out);
  const bool forward = launches("fetched_scan");
  typename gatescan::elementwise::output_gradients<D> d_out;
  d_out.out = p.held["x"];
  typename gatescan::elementwise::gradients<D> d;
  d.x = results.held["x"];
  gatescan::backward(naming_gpu{}, gatescan::chunked{}, p.lib, d_out, d);
  return {forward, launches("fetched_adjoint")};
}
TEST(one_pass_device, channels_and_strides_choose_the_programs) {
  using both = std::pair<bool, bool>;
  EXPECT_EQ(one_pass<float>(channels), both(true, true));
  EXPECT_EQ(one_pass<float>(channels + 1), both(true, true));
  EXPECT_EQ(one_pass<float>(tuned.enough_channels - 1), both(false, false));
  EXPECT_EQ(one_pass<float>(channels, layouts::along_time), both(false, false));
  EXPECT_EQ(one_pass<gatescan::bf16>(channels), both(true, true));
  EXPECT_EQ(one_pass<gatescan::bf16>(channels + 1), both(false, false));  // no pairs
  EXPECT_EQ(one_pass<gatescan::float_gates<gatescan::bf16>>(channels), both(false, false));
}

// Inf and NaN go on to the next reset; products of gates that overflow do no harm.
void set(tensor<double>& x, int64 t, int64 channel, double value) {
  x.data[static_cast<std::size_t>(t * channels + channel)] = value;
}
real_elementwise::inputs not_finite() {
  auto in = rounded<real_elementwise, gatescan::device<float>>(
      problem<real_elementwise>({1, 300, 1, 1, channels}, {}, 9));
  set(in.x, 20, 1, std::numeric_limits<double>::infinity());
  set(in.a, 37, 1, 0);
  set(in.x, 50, 2, std::numeric_limits<double>::quiet_NaN());
  set(in.a, 90, 2, 0);
  for (int64 t = 32; t < 48; ++t) set(in.a, t, 3, 1e18), set(in.x, t, 3, 0);  // of a state of 0
  set(in.a, 31, 3, 0), set(in.x, 31, 3, 0), set(in.a, 48, 3, 0);
  set(in.a, 200, 4, 0), set(in.a, 150, 5, 0);
  return in;
}
void expect_the_same(const tensor<double>& got, const tensor<double>& want) {
  ASSERT_EQ(got.data.size(), want.data.size());
  for (std::size_t i = 0; i < want.data.size(); ++i) {
    const double x = got.data[i], y = want.data[i];
    ASSERT_EQ(std::isnan(x), std::isnan(y)) << i;
    if (std::isfinite(y)) {
      ASSERT_NEAR(x, y, 1e-5 * (1 + std::abs(y))) << i;
    } else if (std::isinf(y)) {
      ASSERT_EQ(x, y) << i;
    }
  }
}
// out may be in the place of x
TEST(one_pass_device, not_finite_and_in_place) {
  using O = real_elementwise;
  using T = gatescan::device<float>;
  const auto in = not_finite();
  const auto want = run_forward<O, T>({mode::recurrent, 0}, in);
  expect_the_same(run_forward<O, T>({mode::chunked, 0}, in).out, want.out);
  prepared<O, T> p(in, {});
  gatescan::elementwise::outputs<T> out;
  out.out = p.held["x"];
  out.final_state = p.held.state;
  gatescan::forward(emulated_gpu{}, gatescan::chunked{}, p.lib, out);
  auto got = want;
  p.held["x"].read(got.out);
  expect_the_same(got.out, want.out);
}
TEST(one_pass_device, not_finite_back) {
  using O = real_elementwise;
  using T = gatescan::device<float>;
  const auto in = not_finite();
  auto d_out = random_gradients<O>(O::forward(in), 3);
  for (int64 t = 31; t < 49; ++t) set(d_out.out, t, 3, 0);
  set(d_out.out, 250, 4, std::numeric_limits<double>::infinity());
  set(d_out.out, 170, 5, std::numeric_limits<double>::quiet_NaN());
  d_out = rounded_results<O, T>(d_out);
  const auto want = run_backward<O, T>({mode::recurrent, 0}, in, d_out);
  const auto got = run_backward<O, T>({mode::chunked, 0}, in, d_out);
  expect_the_same(got.a, want.a);
  expect_the_same(got.x, want.x);
  expect_the_same(got.initial_state, want.initial_state);
}
// Of a real problem to complex results: parts that are 0, of tokens and of partial sums.
TEST(one_pass_device, imaginary_gradients_of_a_real_problem_are_0) {
  using gatescan::complex_view, gatescan::layout, gatescan::view;
  using T = gatescan::device<float>;
  constexpr int64 L = 20, D = channels;
  const std::vector<float> a(L * D, 0.5f), x(L * D, 1.0f);
  const layout rows({1, L, 1, D}, {L * D, D, D, 1});
  for (const bool shared : {false, true}) {
    const layout of_a = shared ? layout({1, L, 1, D}, {0, 0, 0, 1}) : rows;
    gatescan::elementwise::inputs<T> in;
    in.a = view<const float>(a.data(), of_a), in.x = view<const float>(x.data(), rows);
    gatescan::elementwise::output_gradients<T> d_out;
    d_out.out = view<const float>(x.data(), rows);
    std::vector<float> d_a(shared ? D : L * D, 7.0f), d_a_im(d_a), d_x(L * D, 7.0f), d_x_im(d_x);
    gatescan::elementwise::gradients<T> d;
    d.a = complex_view<float>(d_a.data(), d_a_im.data(), of_a);
    d.x = complex_view<float>(d_x.data(), d_x_im.data(), rows);
    gatescan::backward(emulated_gpu{}, gatescan::chunked{}, in, d_out, d);
    EXPECT_EQ(d_a_im, std::vector<float>(d_a.size())) << shared;
    EXPECT_EQ(d_x_im, std::vector<float>(d_x.size())) << shared;
    EXPECT_NEAR(d_x[5], 2, 1e-4);
  }
}

}  // namespace
