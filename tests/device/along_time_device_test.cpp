// Channels whose neighbouring tokens lie together ([B, D, L]): a block a channel, threads along
// time, against the same oracles as the grids.
#include "../grid/check.hpp"
#include "../support/emulation/naming_gpu.hpp"
#include "device.hpp"

namespace {

using namespace support;

const std::vector<mode> modes{{mode::chunked, 0}, {mode::scan, 3}};

template <class Cell>
class along_time_device : public ::testing::Test {};
using cells =
    ::testing::Types<grid::cell<real_elementwise, float>, grid::cell<complex_elementwise, float>,
                     grid::cell<real_elementwise, double>, grid::cell<complex_elementwise, double>,
                     grid::cell<real_elementwise, gatescan::bf16>,
                     grid::cell<real_elementwise, gatescan::wide<float>>, grid::cell<hgrn, float>,
                     grid::cell<min_gru, float>, grid::cell<min_lstm, float>,
                     grid::cell<rg_lru, float>>;
TYPED_TEST_SUITE(along_time_device, cells);

settings laid_along_time() {
  settings how;
  how.layout = layouts::along_time;
  how.planned = true;
  return how;
}

// tails of tiles, of threads, and tiles one after another
TYPED_TEST(along_time_device, sizes_and_gates) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  const sizes some[] = {{2, 64, 1, 1, 3}, {1, 97, 2, 1, 2}, {1, 2048, 1, 1, 1}, {2, 2063, 1, 1, 1}};
  for (std::size_t i = 0; i < grid::all_gates.size(); ++i) {
    options c;
    c.gate = grid::all_gates[i];
    c.initial_state = i % 3 != 0;
    grid::check<O, T>(modes, some[i % std::size(some)], c, laid_along_time());
  }
}

// several tiles in a segment, and several segments
TYPED_TEST(along_time_device, long_sequences) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  options c;
  c.gate = gates::resets;
  grid::check<O, T>({{mode::chunked, 0}, {mode::scan, 2}}, {1, 4611, 1, 1, 1}, c,
                    laid_along_time());
}

TYPED_TEST(along_time_device, packed_sequences) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  for (const gates gate : {gates::mild, gates::resets}) {
    options c;
    c.sequences = 5;
    c.gate = gate;
    grid::check<O, T>(modes, {1, 331, 2, 1, 2}, c, laid_along_time());
  }
}

// so many that time is not split
TYPED_TEST(along_time_device, many_channels) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  options c;
  c.group = 2;
  grid::check<O, T>({{mode::scan, 3}}, {1, 67, 4, 1, 133}, c, laid_along_time());
}

TEST(along_time_device_choice, strides_choose_the_programs) {
  using T = gatescan::device<float>;
  const auto in = rounded<real_elementwise, T>(problem<real_elementwise>({2, 640, 1, 1, 3}, {}, 7));
  const auto names = [&](layouts layout, const auto& how) {
    settings s;
    s.layout = layout;
    prepared<real_elementwise, T> p(in, s);
    typename gatescan::elementwise::outputs<T> out;
    out.final_state = p.held.state;
    gatescan::forward(naming_gpu{}, how, p.lib, out);
    return launches("along_time");
  };
  EXPECT_TRUE(names(layouts::along_time, gatescan::chunked{}));
  EXPECT_TRUE(names(layouts::along_time, gatescan::scan{}));
  EXPECT_FALSE(names(layouts::along_time, gatescan::recurrent{}));
  EXPECT_FALSE(names(layouts::dense, gatescan::chunked{}));
}

TEST(along_time_device_choice, imaginary_gradients_of_a_real_problem_are_0) {
  using gatescan::complex_view, gatescan::layout, gatescan::view;
  using T = gatescan::device<float>;
  constexpr int64 L = 80, D = 2;
  const std::vector<float> a(L * D, 0.5f), x(L * D, 1.0f);
  const layout rows({1, L, 1, D}, {L * D, 1, L * D, L});
  for (const bool shared : {false, true}) {  // by all tokens: through partial sums
    const layout of_a = shared ? layout({1, L, 1, D}, {0, 0, 0, 1}) : rows;
    gatescan::elementwise::inputs<T> in;
    in.a = view<const float>(a.data(), of_a), in.x = view<const float>(x.data(), rows);
    gatescan::elementwise::output_gradients<T> d_out;
    d_out.out = view<const float>(x.data(), rows);
    std::vector<float> d_a(shared ? D : L * D, 7.0f), d_a_im(d_a), d_x(L * D, 7.0f), d_x_im(d_x);
    gatescan::elementwise::gradients<T> d;
    d.a = complex_view<float>(d_a.data(), d_a_im.data(), of_a);
    d.x = complex_view<float>(d_x.data(), d_x_im.data(), rows);
    gatescan::backward(support::emulated_gpu{}, gatescan::chunked{}, in, d_out, d);
    EXPECT_EQ(d_a_im, std::vector<float>(d_a.size())) << shared;
    EXPECT_EQ(d_x_im, std::vector<float>(d_x.size())) << shared;
    EXPECT_NEAR(d_x[5], 2, 1e-4);
  }
}

// Inf and NaN go on to the next reset and no further, back to the last one; products of gates that
// overflow do no harm.
real_elementwise::inputs not_finite() {
  auto in = rounded<real_elementwise, gatescan::device<float>>(
      problem<real_elementwise>({1, 2500, 1, 1, 1}, {}, 9));
  in.x.data[100] = std::numeric_limits<double>::infinity();
  in.x.data[700] = std::numeric_limits<double>::quiet_NaN();
  for (const std::size_t reset : {300u, 1000u, 1490u, 1600u}) in.a.data[reset] = 0;
  for (std::size_t t = 1490; t < 1520; ++t) in.x.data[t] = 0;
  for (std::size_t t = 1500; t < 1508; ++t) in.a.data[t] = 1e18;  // 1e144, of a state of 0
  return in;
}
void expect_the_same(const tensor<double>& got, const tensor<double>& want) {
  ASSERT_EQ(got.data.size(), want.data.size());
  for (std::size_t t = 0; t < got.data.size(); ++t) {
    const double x = got.data[t], y = want.data[t];
    ASSERT_EQ(std::isnan(x), std::isnan(y)) << t << ": " << x << " " << y;
    if (std::isfinite(y)) {
      ASSERT_NEAR(x, y, 1e-5 * (1 + std::abs(y))) << t;
    } else if (std::isinf(y)) {
      ASSERT_EQ(x, y) << t;
    }
  }
}
TEST(along_time_device_choice, not_finite) {
  using T = gatescan::device<float>;
  const auto in = not_finite();
  const settings how = laid_along_time();
  const auto want = run_forward<real_elementwise, T>({mode::recurrent, 0}, in, how);
  auto d_out = random_gradients<real_elementwise>(real_elementwise::forward(in), 3);
  for (std::size_t t = 1490; t < 1520; ++t) d_out.out.data[t] = 0;
  d_out.out.data[2000] = std::numeric_limits<double>::infinity();
  d_out.out.data[1200] = std::numeric_limits<double>::quiet_NaN();
  d_out = rounded_results<real_elementwise, T>(d_out);
  const auto want_gradients =
      run_backward<real_elementwise, T>({mode::recurrent, 0}, in, d_out, how);
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto got = run_forward<real_elementwise, T>(m, in, how);
    expect_the_same(got.out, want.out);
    expect_the_same(got.final_state, want.final_state);
    const auto gradients = run_backward<real_elementwise, T>(m, in, d_out, how);
    expect_the_same(gradients.a, want_gradients.a);
    expect_the_same(gradients.x, want_gradients.x);
    expect_the_same(gradients.initial_state, want_gradients.initial_state);
  }
}

}  // namespace
