// A step with a state of two numbers a channel and an output that is not the state: what the
// examples' recurrences leave to the ladder's other members. Against plain loops and central
// differences.

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <gatescan/gatescan.hpp>

#include "../support/generate.hpp"

namespace {

using gatescan::axes, gatescan::axis, gatescan::presence, gatescan::view;

// c_t = c_{t-1} / 2 + x_t + tanh(h_{t-1}),   h_t = tanh(c_t),   out_t = scale h_t
struct cell : gatescan::matrix_state<cell> {
  static constexpr const char* name = "cell";
  static constexpr gatescan::index_t states = 2;  // the keys of the state [n, H, 2, D]
  template <class E>
  struct state_of {
    E c, h;
  };

  template <class T>
  struct inputs {
    using recurrence = cell;
    using format = T;
    view<const gatescan::storage_t<T>> x{}, scale{};
    view<const gatescan::state_t<T>> initial_state{};
    view<const gatescan::index_t> sequence_offsets{};
  };
  template <class T>
  struct gradients {
    view<gatescan::storage_t<T>> x{}, scale{};
    view<gatescan::state_t<T>> initial_state{};
  };
  template <class Operand>
  struct fields {
    Operand x, scale;
  };
  template <class F, class... S>
  static void operands(F&& f, S&&... s) {
    f("x", axes{axis::batch, axis::time, axis::head, axis::value}, presence::required, s.x...);
    f("scale", axes{axis::value}, presence::optional, s.scale...);
  }

  template <class X, class At>
  static auto values(const X& x, const At& at) {
    return gatescan::value_of<decltype(at(x.x))>{at(x.x)};
  }
  template <class X, class E>
  static state_of<E> step(const X&, const gatescan::value_of<E>& w, const state_of<E>& before) {
    const E c = E(0.5) * before.c + w.v + gatescan::tanh(before.h);
    return {c, gatescan::tanh(c)};
  }
  template <class X, class At, class W, class E>
  static E output(const X& x, const At& at, const W&, const state_of<E>& s) {
    return x.scale.given ? at(x.scale) * s.h : s.h;
  }

  template <class X, class D, class At, class W, class E>
  static void output_adjoint(const X& x, const D& d, const At& at, const W&, W&,
                             const state_of<E>& s, E d_out, state_of<E>& d_s) {
    at.add(d.scale, d_out * s.h);
    d_s.h = d_s.h + (x.scale.given ? d_out * at(x.scale) : d_out);
  }
  template <class X, class E>
  static state_of<E> step_adjoint(const X& x, const gatescan::value_of<E>& w,
                                  gatescan::value_of<E>& d_w, const state_of<E>& before,
                                  const state_of<E>& d_after) {
    const E h = step(x, w, before).h, y = gatescan::tanh(before.h);
    const E d_c = d_after.c + d_after.h * (E(1) - h * h);
    d_w.v = d_w.v + d_c;
    return {E(0.5) * d_c, d_c * (E(1) - y * y)};
  }
  template <class X, class D, class At, class W>
  static void values_adjoint(const X&, const D& d, const At& at, const W&, const W& d_w) {
    at.add(d.x, d_w.v);
  }
};
static_assert(gatescan::recurrence<cell> && gatescan::differentiable<cell>);
static_assert(!gatescan::scannable<cell>);

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
