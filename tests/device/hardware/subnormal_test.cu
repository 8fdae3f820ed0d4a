// Subnormal numbers survive: a build with -use_fast_math, which the headers cannot see, fails here.
#include "../device.hpp"
//
#include <gtest/gtest.h>

namespace {

using namespace support;

TEST(device_arithmetic, small_numbers_are_not_flushed) {
  constexpr float small = 0x1p-130f;
  memory<float> one{1.0f}, x{small}, out{0.0f};
  const auto view = [](memory<float>& of) {
    return gatescan::complex_view<float>(gatescan::view<float>(of.data(), {1, 1, 1, 1}));
  };
  gatescan::forward(
      device_backend{}, gatescan::recurrent{},
      gatescan::elementwise::inputs<gatescan::device<float>>{.a = view(one), .x = view(x)},
      {.out = view(out)});
  finish(device_backend{});
  EXPECT_EQ(out[0], small);
}

}  // namespace
