// Gradients of a gate that all keys share, in 16 bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "device.hpp"

namespace {

using namespace support;

// Keys that share a gate may ask for a gradient each, which the programs of one gate do not make.
TEST(head_gate_gradient, may_have_keys) {
  using gatescan::bf16;
  constexpr gatescan::index_t L = 70, H = 2, K = 3, V = 5;
  const auto numbers = [](gatescan::index_t count, float from, float to) {
    std::vector<bf16> x(static_cast<std::size_t>(count));
    unsigned state = 1;
    for (bf16& y : x) {
      state = state * 1664525u + 1013904223u;
      y = gatescan::convert<bf16>(from +
                                  (to - from) * static_cast<float>(state >> 8) / 16777216.0f);
    }
    return x;
  };
  const auto q = numbers(L * H * K, -1, 1), k = numbers(L * H * K, 0, 1),
             v = numbers(L * H * V, -1, 1), gate = numbers(L * H, -0.3f, 0),
             d_out = numbers(L * H * V, -1, 1);
  gatescan::gla::inputs<gatescan::device<bf16>> in{.q = {q.data(), {1, L, H, K}},
                                                   .k = {k.data(), {1, L, H, K}},
                                                   .v = {v.data(), {1, L, H, V}},
                                                   .log_decay = {gate.data(), {1, L, H, 1}}};
  const auto gradient = [&](const auto& in_mode, gatescan::index_t keys) {
    std::vector<bf16> d(static_cast<std::size_t>(L * H * keys));
    gatescan::backward(emulated_gpu{}, in_mode, in, {.out = {d_out.data(), {1, L, H, V}}},
                       {.log_decay = {d.data(), {1, L, H, keys}}});
    return d;
  };
  const auto each = gradient(gatescan::chunked{}, K), sums = gradient(gatescan::chunked{}, 1),
             want = gradient(gatescan::recurrent{}, K);
  float largest = 0;
  for (const bf16 x : sums) largest = std::max(largest, std::fabs(gatescan::convert<float>(x)));
  for (std::size_t i = 0; i < sums.size(); ++i) {
    float sum = 0;
    for (std::size_t n = i * K; n < (i + 1) * K; ++n) {
      const float of_key = gatescan::convert<float>(each[n]);
      EXPECT_NEAR(of_key, gatescan::convert<float>(want[n]), 0.02f * largest) << n;
      sum += of_key;
    }
    EXPECT_NEAR(gatescan::convert<float>(sums[i]), sum, 0.02f * largest) << i;
  }
}

}  // namespace
