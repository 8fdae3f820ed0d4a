// Partial sums of a gradient with as many numbers as fill a device: a thread adds up each of them;
// and of one with few numbers of many terms. Small results take a warp a number; every grid has
// those.
#include <gtest/gtest.h>

#include <gatescan/backends/cuda/execute.hpp>

#include "../support/emulation/emulated_gpu.hpp"

namespace {

using gatescan::axes, gatescan::axis, gatescan::index_t;

constexpr axes of_groups{axis::batch, axis::time, axis::group, axis::key};

// every copy leaves something at every token and key; returns their sums over copies
std::vector<float> leave(gatescan::detail::gpu::gradient_sink<float, float>& sink,
                         std::vector<float>& partial, index_t tokens, index_t keys) {
  partial.assign(static_cast<std::size_t>(sink.plane_size()), -1.0f);
  sink.partial = partial.data();
  std::vector<float> sums(static_cast<std::size_t>(tokens * keys));
  gatescan::detail::gpu::cursor<float, false> at{0, 0, 0};
  for (index_t copy = 0; copy < sink.copies; ++copy)
    for (at.time = 0; at.time < tokens; ++at.time)
      for (at.key = 0; at.key < keys; ++at.key) {
        gatescan::detail::gpu::accumulator<float> sum;
        sum.re = static_cast<float>((copy * 7 + at.time * 3 + at.key) % 11);
        sink.store(at, 0, copy, sum);
        sums[static_cast<std::size_t>(at.time * keys + at.key)] += sum.re;
      }
  return sums;
}

TEST(partial_sums_device, of_a_wide_result) {
  constexpr index_t copies = 67, tokens = 2048, keys = 16, numbers = tokens * keys;
  static_assert(numbers >= gatescan::detail::gpu::tuned.wide_result);
  std::vector<float> result(numbers, -1.0f), partial;
  gatescan::operand<float> to;
  to.re = result.data(), to.time = keys, to.key = 1, to.given = true;
  const gatescan::sizes n{1, 1, tokens, 1, keys, 1};
  gatescan::detail::gpu::gradient_sink<float, float> sink(to, of_groups, n, false, copies);
  ASSERT_FALSE(sink.exclusive);
  const auto expected = leave(sink, partial, tokens, keys);
  gatescan::detail::gpu::add_partial_sums(support::emulated_gpu{}, sink, n, false);
  EXPECT_EQ(result, expected);
}

// What all tokens share: few numbers of many terms, by blocks a part of one; the sums are exact.
TEST(partial_sums_device, of_what_all_tokens_share) {
  for (const auto& [copies, tokens] :
       {std::pair<index_t, index_t>{1, 256}, {1, 1023}, {1, 1025}, {3, 5000}, {2, 70000}}) {
    constexpr index_t keys = 3;
    std::vector<float> partial, result[2];
    for (const bool last_block_first : {false, true}) {
      auto& numbers = result[last_block_first];
      numbers.assign(keys, -1.0f);
      gatescan::operand<float> to;
      to.re = numbers.data(), to.key = 1, to.given = true;
      const gatescan::sizes n{1, 1, tokens, 1, keys, 1};
      gatescan::detail::gpu::gradient_sink<float, float> sink(to, of_groups, n, false, copies);
      ASSERT_FALSE(sink.exclusive);
      const auto sums = leave(sink, partial, tokens, keys);
      const support::emulated_gpu gpu{.last_block_first = last_block_first};
      gatescan::detail::gpu::add_partial_sums(gpu, sink, n, false);
      for (std::size_t key = 0; key < keys; ++key) {
        float expected = 0;
        for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t)
          expected += sums[t * keys + key];
        EXPECT_EQ(numbers[key], expected) << copies << " " << tokens << " " << key;
      }
    }
    EXPECT_EQ(result[0], result[1]);
  }
}

}  // namespace
