// Channels so many that time is not cut: one pass over memory, operands fetched ahead.
#include "../grid/check.hpp"
#include "device.hpp"

namespace {

using namespace support;

const std::vector<mode> modes{{mode::chunked, 0}, {mode::scan, 3}};
constexpr int64 channels = gatescan::detail::gpu::tuned.enough_channels + 3;

template <class Cell>
class many_channels_device : public ::testing::Test {};
using cells =
    ::testing::Types<grid::cell<real_elementwise, float>, grid::cell<complex_elementwise, float>,
                     grid::cell<real_elementwise, double>, grid::cell<complex_elementwise, double>,
                     grid::cell<rg_lru, float>>;
TYPED_TEST_SUITE(many_channels_device, cells);

// forward against the oracle, in every mode
template <class O, class T>
void check_forward(const sizes& n, const options& c, const settings& how = {}) {
  const auto in = rounded<O, T>(problem<O>(n, c, 17));
  const auto want = O::forward(in);
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m << " " << n << " " << c);
    expect_results<O>(run_forward<O, T>(m, in, how), want, tolerance_of<T>());
    if (::testing::Test::HasFailure()) return;
  }
}

// chunks more and fewer than there is room for, and tails
TYPED_TEST(many_channels_device, sizes_and_gates) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  settings how;
  how.planned = true;
  const int64 lengths[] = {3, 16, 130};
  for (std::size_t i = 0; i < grid::all_gates.size(); i += 2) {
    options c;
    c.gate = grid::all_gates[i];
    c.initial_state = i % 4 == 0;
    check_forward<O, T>({1, lengths[i / 2 % 3], 1, 1, channels}, c, how);
  }
}

TYPED_TEST(many_channels_device, packed_sequences) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  options c;
  c.sequences = 4;
  c.gate = gates::resets;
  check_forward<O, T>({1, 67, 2, 1, channels / 8 + 1}, c);
}

// Gradients are those of time in segments.
TEST(many_channels_device_passes, backward) {
  grid::check<real_elementwise, gatescan::device<float>>({{mode::chunked, 0}},
                                                         {1, 70, 1, 1, channels}, {});
}

// Inf and NaN go on to the next reset; products of gates that overflow do no harm; out may be in
// the place of x.
TEST(many_channels_device_passes, not_finite_and_in_place) {
  using O = real_elementwise;
  using T = gatescan::device<float>;
  auto in = rounded<O, T>(problem<O>({1, 100, 1, 1, channels}, {}, 9));
  const auto set = [&](auto& x, int64 t, int64 channel, double value) {
    x.data[static_cast<std::size_t>(t * channels + channel)] = value;
  };
  set(in.x, 20, 1, std::numeric_limits<double>::infinity());
  set(in.a, 37, 1, 0);
  set(in.x, 50, 2, std::numeric_limits<double>::quiet_NaN());
  set(in.a, 90, 2, 0);
  for (int64 t = 32; t < 48; ++t) set(in.a, t, 3, 1e18), set(in.x, t, 3, 0);  // of a state of 0
  set(in.a, 31, 3, 0), set(in.x, 31, 3, 0), set(in.a, 48, 3, 0);
  const auto want = run_forward<O, T>({mode::recurrent, 0}, in);
  for (const bool in_place : {false, true}) {
    prepared<O, T> p(in, {});
    auto got = want;
    if (in_place) {
      gatescan::elementwise::outputs<T> out;
      out.out = p.held["x"];
      out.final_state = p.held.state;
      gatescan::forward(emulated_gpu{}, gatescan::chunked{}, p.lib, out);
      p.held["x"].read(got.out);
    } else {
      got = run_forward<O, T>({mode::chunked, 0}, in);
    }
    for (std::size_t i = 0; i < want.out.data.size(); ++i) {
      const double x = got.out.data[i], y = want.out.data[i];
      ASSERT_EQ(std::isnan(x), std::isnan(y)) << i;
      if (std::isfinite(y)) {
        ASSERT_NEAR(x, y, 1e-5 * (1 + std::abs(y))) << i;
      } else if (std::isinf(y)) {
        ASSERT_EQ(x, y) << i;
      }
    }
  }
}

}  // namespace
