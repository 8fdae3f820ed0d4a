// Scan mode, backward: where a gradient that is not finite crosses a segment with a reset, the
// segment is walked token by token, and what it hands on is the gradient before its first token.

#include <gtest/gtest.h>

#include <cmath>
#include <gatescan/gatescan.hpp>
#include <limits>
#include <vector>

namespace {

using namespace gatescan;

constexpr index_t L = 144, K = 16, V = 16, reset = 90, bad = 100;

struct numbers_of {
  unsigned state = 1;
  float operator()() {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / 16777216.0f - 0.5f;
  }
};
std::vector<float> random(numbers_of& next, index_t count) {
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& y : x) y = next();
  return x;
}

// backward(mode) returns the gradient of v.
template <class F>
void compare_with_recurrent(F&& backward_of) {
  const std::vector<float> want = backward_of(recurrent{});
  for (const int segments : {2, 3, 4, 5}) {
    SCOPED_TRACE(segments);
    const std::vector<float> got = backward_of(scan{segments});
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(std::isfinite(got[i]), std::isfinite(want[i])) << i;
      if (std::isfinite(want[i])) {
        ASSERT_NEAR(got[i], want[i], 1e-4) << i;
      }
    }
  }
}

void run_gla(index_t gates_a_token) {
  numbers_of next;
  const auto q = random(next, L * K), k = random(next, L * K), v = random(next, L * V);
  auto d_out = random(next, L * V);
  std::vector<float> gates(static_cast<std::size_t>(L * gates_a_token), -0.1f);
  for (index_t i = 0; i < gates_a_token; ++i)
    gates[static_cast<std::size_t>(reset * gates_a_token + i)] =
        -std::numeric_limits<float>::infinity();
  d_out[bad * V + 3] = std::numeric_limits<float>::quiet_NaN();
  const gla::inputs<float> in{.q = {q.data(), {1, L, 1, K}},
                              .k = {k.data(), {1, L, 1, K}},
                              .v = {v.data(), {1, L, 1, V}},
                              .log_decay = {gates.data(), {1, L, 1, gates_a_token}}};
  compare_with_recurrent([&](const auto& mode) {
    std::vector<float> d(static_cast<std::size_t>(L * V));
    backward(cpu{.threads = 1}, mode, in, {.out = {d_out.data(), {1, L, 1, V}}},
             {.v = {d.data(), {1, L, 1, V}}});
    return d;
  });
}

TEST(scan_fallback, gla) { run_gla(K); }
TEST(scan_fallback, gla_one_gate_a_head) { run_gla(1); }
TEST(scan_fallback, gateloop) {
  numbers_of next;
  const auto q = random(next, L * K), k = random(next, L * K), v = random(next, L * V);
  const auto phase = random(next, L * K);
  auto d_out = random(next, L * V);
  std::vector<float> magnitude(static_cast<std::size_t>(L * K), -0.1f);
  for (index_t i = 0; i < K; ++i)
    magnitude[static_cast<std::size_t>(reset * K + i)] = -std::numeric_limits<float>::infinity();
  d_out[bad * V + 3] = std::numeric_limits<float>::quiet_NaN();
  const layout keys{1, L, 1, K};
  gateloop::inputs<float> in{.q = view<const float>(q.data(), keys),
                             .k = view<const float>(k.data(), keys),
                             .v = view<const float>(v.data(), {1, L, 1, V})};
  in.log_magnitude = view<const float>(magnitude.data(), keys);
  in.phase = view<const float>(phase.data(), keys);
  compare_with_recurrent([&](const auto& mode) {
    std::vector<float> d(static_cast<std::size_t>(L * V));
    gateloop::gradients<float> gradients;
    gradients.v = view<float>(d.data(), {1, L, 1, V});
    backward(cpu{.threads = 1}, mode, in, {.out = view<const float>(d_out.data(), {1, L, 1, V})},
             gradients);
    return d;
  });
}

}  // namespace
