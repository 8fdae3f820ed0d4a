// Partial sums of a gradient with as many numbers as fill a device: a thread adds up each of them.
// Small results take a warp a number; every grid has those.
#include <gtest/gtest.h>

#include <gatescan/backends/cuda/execute.hpp>

#include "../support/emulation/emulated_gpu.hpp"

namespace {

using gatescan::axes, gatescan::axis, gatescan::index_t;

TEST(partial_sums_device, of_a_wide_result) {
  constexpr index_t copies = 67, tokens = 2048, keys = 16, numbers = tokens * keys;
  static_assert(numbers >= gatescan::detail::gpu::tuned.wide_result);
  std::vector<float> result(numbers, -1.0f), partial(copies * numbers);
  gatescan::operand<float> to;
  to.re = result.data(), to.time = keys, to.key = 1, to.given = true;
  const gatescan::sizes n{1, 1, tokens, 1, keys, 1};
  gatescan::detail::gpu::gradient_sink<float, float> sink(
      to, axes{axis::batch, axis::time, axis::group, axis::key}, n, false, copies);
  ASSERT_FALSE(sink.exclusive);
  sink.partial = partial.data();
  gatescan::detail::gpu::cursor<float, false> at{0, 0, 0};
  for (index_t copy = 0; copy < copies; ++copy)
    for (at.time = 0; at.time < tokens; ++at.time)
      for (at.key = 0; at.key < keys; ++at.key) {
        gatescan::detail::gpu::accumulator<float> sum;
        sum.re = static_cast<float>((copy * 7 + at.time * 3 + at.key) % 11);
        sink.store(at, 0, copy, sum);
      }
  gatescan::detail::gpu::add_partial_sums(support::emulated_gpu{}, sink, n, false);
  for (index_t t = 0; t < tokens; ++t)
    for (index_t key = 0; key < keys; ++key) {
      float expected = 0;
      for (index_t copy = 0; copy < copies; ++copy)
        expected += static_cast<float>((copy * 7 + t * 3 + key) % 11);
      ASSERT_EQ(result[static_cast<std::size_t>(t * keys + key)], expected) << t << " " << key;
    }
}

}  // namespace
