// The gradient of the initial state of packed sequences on a device, where states share numbers of
// it: one row a sequence all the same, and none where there are no sequences.
#include <gtest/gtest.h>

#include <gatescan/api/verbs.hpp>
#include <gatescan/backends/cuda/execute.hpp>
#include <gatescan/recurrences/elementwise.hpp>
#include <vector>

#include "../support/emulation/emulated_gpu.hpp"

namespace {

using gatescan::index_t, gatescan::layout;
using numbers = std::vector<float>;
constexpr index_t H = 2, D = 3;

// d: [sequence][D], the sum over heads, or [sequence][H][D]
numbers gradient(const std::vector<index_t>& offsets, bool of_all_heads) {
  const index_t n = static_cast<index_t>(offsets.size()) - 1, L = offsets.back();
  const layout tokens{1, L, H, D}, of_states{n, H, D}, of_offsets{n + 1};
  const auto waves = [](index_t count, float step) {
    numbers x(static_cast<std::size_t>(count + 1));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.5f + step * static_cast<float>(i % 7);
    return x;
  };
  const numbers a = waves(L * H * D, 0.05f), x = waves(L * H * D, -0.1f),
                d_out = waves(L * H * D, 0.2f), state = waves(n * H * D, 0.1f);
  const index_t row = of_all_heads ? D : H * D;
  numbers d(static_cast<std::size_t>(n * row + row), 77.0f);
  const gatescan::elementwise::inputs<gatescan::device<float>> in{
      .a = {a.data(), nullptr, tokens},
      .x = {x.data(), nullptr, tokens},
      .initial_state = {state.data(), nullptr, of_states},
      .sequence_offsets = {offsets.data(), of_offsets}};
  const layout of_d = of_all_heads ? layout({n, H, D}, {D, 0, 1}) : of_states;
  gatescan::backward(support::emulated_gpu{}, gatescan::scan{2}, in,
                     {.out = {d_out.data(), nullptr, tokens}},
                     {.initial_state = {d.data(), nullptr, of_d}});
  return d;
}

TEST(state_gradients, of_packed_sequences_that_share_heads) {
  const std::vector<index_t> offsets{0, 9, 9, 40};
  const numbers apart = gradient(offsets, false), together = gradient(offsets, true);
  for (std::size_t s = 0; s < 3; ++s)
    for (std::size_t j = 0; j < D; ++j)
      EXPECT_FLOAT_EQ(together[s * D + j], apart[s * H * D + j] + apart[s * H * D + D + j]);
  EXPECT_EQ(together[3 * D], 77.0f);
}
TEST(state_gradients, of_no_sequences) {
  EXPECT_EQ(gradient({0}, false), numbers(H * D, 77.0f));
  EXPECT_EQ(gradient({0}, true), numbers(D, 77.0f));
}

}  // namespace
