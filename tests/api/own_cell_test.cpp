// A step with a state of two numbers a channel (support/own_cell.hpp) against plain loops and
// central differences.

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <gatescan/gatescan.hpp>

#include "../support/generate.hpp"
#include "../support/own_cell.hpp"

namespace {

using gatescan::view, own::cell;

constexpr std::int64_t B = 2, L = 23, H = 2, D = 7;
using numbers = std::vector<double>;

struct problem {
  std::array<numbers, 3> operands;  // x, scale, initial_state
  numbers out = numbers(B * L * H * D), state = numbers(B * H * 2 * D);

  problem() {
    support::generator g(6);
    operands = {g.normals({B, L, H, D}).data, g.normals({D}).data, g.normals({B, H, 2, D}).data};
  }
  cell::inputs<double> inputs() const {
    return {.x = {operands[0].data(), {B, L, H, D}},
            .scale = {operands[1].data(), {D}},
            .initial_state = {operands[2].data(), {B, H, 2, D}}};
  }
  void loops() {
    state = operands[2];
    for (std::size_t b = 0; b < B; ++b)
      for (std::size_t h = 0; h < H; ++h)
        for (std::size_t j = 0; j < D; ++j) {
          double& c = state[(b * H + h) * 2 * D + j];
          double& y = state[(b * H + h) * 2 * D + D + j];
          for (std::size_t t = 0; t < L; ++t) {
            const std::size_t at = ((b * L + t) * H + h) * D + j;
            c = 0.5 * c + operands[0][at] + std::tanh(y);
            y = std::tanh(c);
            out[at] = operands[1][j] * y;
          }
        }
  }
};
double dot(const numbers& a, const numbers& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST(own_cell, is_its_loop) {
  problem want;
  want.loops();
  problem got;
  EXPECT_EQ(gatescan::describe(gatescan::cpu{}, gatescan::automatic{}, got.inputs()).recurrence,
            cell::name);
  gatescan::forward(
      gatescan::cpu{}, gatescan::recurrent{}, got.inputs(),
      {.out = {got.out.data(), {B, L, H, D}}, .final_state = {got.state.data(), {B, H, 2, D}}});
  for (std::size_t i = 0; i < want.out.size(); ++i) ASSERT_NEAR(got.out[i], want.out[i], 1e-13);
  for (std::size_t i = 0; i < want.state.size(); ++i)
    ASSERT_NEAR(got.state[i], want.state[i], 1e-13);
}

TEST(own_cell, gradients_are_central_differences) {
  problem p;
  support::generator g(8);
  const numbers d_out = g.normals({B, L, H, D}).data, d_state = g.normals({B, H, 2, D}).data;
  std::array<numbers, 3> d;
  for (std::size_t i = 0; i < 3; ++i) d[i].resize(p.operands[i].size());
  gatescan::backward(
      gatescan::cpu{}, gatescan::recurrent{}, p.inputs(),
      {.out = {d_out.data(), {B, L, H, D}}, .final_state = {d_state.data(), {B, H, 2, D}}},
      {.x = {d[0].data(), {B, L, H, D}},
       .scale = {d[1].data(), {D}},
       .initial_state = {d[2].data(), {B, H, 2, D}}});
  const auto loss = [&] {
    p.loops();
    return dot(p.out, d_out) + dot(p.state, d_state);
  };
  for (std::size_t k = 0; k < 3; ++k)
    for (std::size_t i = 0; i < d[k].size(); ++i) {
      double& x = p.operands[k][i];
      const double here = x, step = 1e-5;
      x = here + step;
      const double above = loss();
      x = here - step;
      const double below = loss();
      x = here;
      ASSERT_NEAR(d[k][i], (above - below) / (2 * step), 1e-8) << "operand " << k << ", " << i;
    }
}

}  // namespace
