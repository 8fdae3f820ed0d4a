// float_gates<T>: the numbers of a call in floats, with all operands but gates rounded to T.
#include <gtest/gtest.h>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;
using gatescan::bf16, gatescan::float_gates, gatescan::half;

const std::vector<mode> modes{{mode::recurrent, 0}, {mode::chunked, 16}};

// A recurrence of every way in which kernels read gates: rows of keys, steps of channels, rows of
// channels, corrections, numbers a head. What they compute with is the same as in float, so the
// bits are.
template <class O, class T>
void expect_numbers_of_float() {
  options c;
  c.gate = gates::near_one;
  turn<O>(c, {"z"}, false);
  for (const sizes& n : {sizes{2, 37, 4, 8, 16}, sizes{1, 50, 2, 5, 7}}) {
    const auto in = rounded<O, float_gates<T>>(problem<O>(n, c, 31));
    const auto dout = rounded_results<O, float_gates<T>>(random_gradients<O>(O::forward(in), 32));
    for (const layouts layout : {layouts::dense, layouts::odd})
      for (const mode& m : modes) {
        SCOPED_TRACE(::testing::Message() << m);
        settings how;
        how.layout = layout;
        const auto want = rounded_results<O, T>(run_forward<O, float>(m, in, how));
        const auto got = run_forward<O, float_gates<T>>(m, in, how);
        O::results([](const char* name, const auto& g,
                      const auto& w) { EXPECT_TRUE(same_bits(g, w)) << name; },
                   got, want);
        const auto gradients = rounded<O, float_gates<T>>(run_backward<O, float>(m, in, dout, how));
        const auto made = run_backward<O, float_gates<T>>(m, in, dout, how);
        O::operands([](const char* name, const auto& g,
                       const auto& w) { EXPECT_TRUE(same_bits(g, w)) << "gradient of " << name; },
                    made, gradients);
      }
  }
}

TEST(float_gates, rows_of_keys) { expect_numbers_of_float<gla, half>(); }
TEST(float_gates, steps_of_channels) { expect_numbers_of_float<selective_scan, bf16>(); }
TEST(float_gates, rows_of_channels) { expect_numbers_of_float<real_elementwise, bf16>(); }
TEST(float_gates, corrections) { expect_numbers_of_float<gated_delta_net, bf16>(); }
TEST(float_gates, numbers_a_head) { expect_numbers_of_float<mamba2, bf16>(); }

// The reason for them: a decay of 1e-3 a token over a thousand tokens, which bf16 rounds to none.
TEST(float_gates, keep_decays_that_16_bits_lose) {
  using R = gatescan::elementwise;
  constexpr gatescan::index_t L = 1000;
  const std::vector<float> a(L, 0.999f);
  std::vector<bf16> x(L, bf16(0)), out(L);
  x[0] = bf16(1);
  R::inputs<float_gates<bf16>> in;
  in.a = gatescan::view<const float>{a.data(), {1, L, 1, 1}};
  in.x = gatescan::view<const bf16>{x.data(), {1, L, 1, 1}};
  R::outputs<float_gates<bf16>> to;
  to.out = gatescan::view<bf16>{out.data(), {1, L, 1, 1}};
  gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, in, to);
  EXPECT_NEAR(static_cast<float>(out.back()), std::pow(0.999, 999),
              0x1p-10);  // half a unit of bf16
}

}  // namespace
