// States of one key and one value run as channels (backends/cpu/single): what the caller may ask
// for beside the outputs.

#include <gtest/gtest.h>

#include <cstddef>
#include <gatescan/gatescan.hpp>
#include <numeric>
#include <vector>

#include "../support/generate.hpp"

namespace {

using gatescan::complex_view, gatescan::view;

constexpr std::int64_t B = 2, L = 9, H = 70;

template <class T>
struct problem {
  support::generator g{11};
  std::vector<T> q = numbers(B * L * H), k = numbers(B * L * H), v = numbers(B * L * H),
                 log_magnitude = numbers(B * L * H, -1, 0), phase = numbers(B * L * H),
                 d_out = numbers(B * L * H);

  std::vector<T> numbers(std::int64_t n, double low = -1, double high = 1) {
    std::vector<T> x(static_cast<std::size_t>(n));
    for (T& e : x) e = static_cast<T>(g.uniform(low, high));
    return x;
  }
  static view<const T> of(const std::vector<T>& x) { return {x.data(), {B, L, H, 1}}; }
  gatescan::gateloop::inputs<T> inputs() const {
    gatescan::gateloop::inputs<T> in;
    in.q = of(q), in.k = of(k), in.v = of(v);
    in.log_magnitude = of(log_magnitude), in.phase = of(phase);
    return in;
  }
};

// the gradient of the initial state, written with these strides, both planes
template <class T, class Mode>
std::vector<T> state_gradient(const Mode& mode, std::int64_t batch, std::int64_t head) {
  const problem<T> p;
  std::vector<T> re(B * H, T(-7)), im(B * H, T(-7));
  gatescan::gateloop::gradients<T> d;
  d.initial_state = complex_view<T>(view<T>(re.data(), {B, H, 1, 1}, {batch, head, 1, 1}),
                                    view<T>(im.data(), {B, H, 1, 1}, {batch, head, 1, 1}));
  gatescan::backward(gatescan::cpu{1}, mode, p.inputs(), {.out = problem<T>::of(p.d_out)}, d);
  re.insert(re.end(), im.begin(), im.end());
  return re;
}

template <class T, class Mode>
void expect_sums(const Mode& mode) {
  const auto all = state_gradient<T>(mode, H, 1), heads = state_gradient<T>(mode, 1, 0),
             batches = state_gradient<T>(mode, 0, 1), one = state_gradient<T>(mode, 0, 0);
  const double tolerance = 70 * (sizeof(T) == 4 ? 1e-6 : 1e-14);
  const auto at = [](const std::vector<T>& x, std::int64_t i) {
    return static_cast<double>(x[static_cast<std::size_t>(i)]);
  };
  for (std::int64_t plane = 0; plane < 2 * B * H; plane += B * H) {
    double total = 0;
    for (std::int64_t b = 0; b < B; ++b) {
      double sum = 0;
      for (std::int64_t h = 0; h < H; ++h) sum += at(all, plane + b * H + h);
      EXPECT_NEAR(at(heads, plane + b), sum, tolerance);
      total += sum;
    }
    for (std::int64_t h = 0; h < H; ++h)
      EXPECT_NEAR(at(batches, plane + h), at(all, plane + h) + at(all, plane + H + h), tolerance);
    EXPECT_NEAR(at(one, plane), total, tolerance);
  }
}

TEST(single_states, a_gradient_of_the_initial_state_with_stride_0_gets_the_sum) {
  expect_sums<float>(gatescan::recurrent{});
  expect_sums<float>(gatescan::chunked{});
  expect_sums<double>(gatescan::recurrent{});
}

// A plan knows neither whether heads are grouped nor that `step` runs another way than its mode.
TEST(single_states, the_scratch_of_a_plan_is_enough_for_whatever_runs) {
  const problem<float> p;
  const gatescan::plan plan(gatescan::cpu{2}, gatescan::attention{},
                            gatescan::gateloop::problem<float>{B, L, H, 1, 1});
  std::vector<std::byte> memory(plan.workspace_bytes());
  const gatescan::workspace scratch{memory};
  std::vector<float> out(B * L * H), re(B * H), im(B * H);
  plan.forward(p.inputs(), {.out = {out.data(), {B, L, H, 1}}}, scratch);

  auto grouped = p.inputs();
  grouped.q = complex_view<const float>(view<const float>(p.q.data(), {B, L, H / 2, 1}));
  plan.forward(grouped, {.out = {out.data(), {B, L, H, 1}}}, scratch);

  gatescan::gateloop::token<float> token;
  const auto now = [](const std::vector<float>& x) {
    return view<const float>(x.data(), {B, H, 1}, {L * H, 1, 1});
  };
  token.q = now(p.q), token.k = now(p.k), token.v = now(p.v);
  token.log_magnitude = now(p.log_magnitude), token.phase = now(p.phase);
  gatescan::step(gatescan::cpu{2}, token,
                 complex_view<float>(view<float>(re.data(), {B, H, 1, 1}),
                                     view<float>(im.data(), {B, H, 1, 1})),
                 view<float>(out.data(), {B, H, 1}), scratch);
  for (std::size_t i = 0; i < static_cast<std::size_t>(H); ++i)
    EXPECT_NEAR(re[i], p.k[i] * p.v[i], 1e-6f);
}

}  // namespace
