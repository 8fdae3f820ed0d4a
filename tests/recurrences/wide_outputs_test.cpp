// Outputs with a skip term and a gate of more values than four registers hold, whole ones and the
// rest, against plain loops in double; also written in the place of an operand that they read.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <gatescan/gatescan.hpp>
#include <random>
#include <vector>

namespace {

using index = std::int64_t;

struct mamba2_problem {
  index L, H, N, P;
  std::vector<float> x, dt, A, B, C, D, z;
  // of D: one number a head, or with a stride of values one a value as well
  index first = 0, head_stride = 1, value_stride = 0;

  mamba2_problem(index tokens, index heads, index keys, index values)
      : L(tokens), H(heads), N(keys), P(values) {
    std::mt19937 engine(static_cast<unsigned>(values));
    const auto fill = [&](std::vector<float>& to, index count, float low, float high) {
      std::uniform_real_distribution<float> in(low, high);
      to.resize(static_cast<std::size_t>(count));
      for (float& number : to) number = in(engine);
    };
    fill(x, L * H * P, -1, 1), fill(dt, L * H, 0, 1), fill(A, H, -1, 0);
    fill(B, L * N, -1, 1), fill(C, L * N, -1, 1), fill(D, 2 * H * P, -1, 1),
        fill(z, L * H * P, -8, 8);
  }
  static double at(const std::vector<float>& from, index i) {
    return from[static_cast<std::size_t>(i)];
  }
  std::vector<double> in_loops() const {
    std::vector<double> out(static_cast<std::size_t>(L * H * P));
    for (index h = 0; h < H; ++h)
      for (index j = 0; j < P; ++j) {
        std::vector<double> state(static_cast<std::size_t>(N));
        for (index t = 0; t < L; ++t) {
          const index token = t * H + h, place = token * P + j;
          const double step = at(dt, token), gate = std::exp(step * at(A, h)), u = at(x, place);
          double o = at(D, first + h * head_stride + j * value_stride) * u;
          for (index i = 0; i < N; ++i) {
            double& s = state[static_cast<std::size_t>(i)];
            s = gate * s + at(B, t * N + i) * step * u;
            o += at(C, t * N + i) * s;
          }
          out[static_cast<std::size_t>(place)] = o * at(z, place) / (1 + std::exp(-at(z, place)));
        }
      }
    return out;
  }
  gatescan::mamba2::inputs<float> views() const {
    return {.x = {x.data(), {1, L, H, P}},
            .dt = {dt.data(), {1, L, H}},
            .A = {A.data(), {H}},
            .B = {B.data(), {1, L, 1, N}},
            .C = {C.data(), {1, L, 1, N}},
            .D = {D.data() + first, {H, value_stride != 0 ? P : 1}, {head_stride, value_stride}},
            .z = {z.data(), {1, L, H, P}}};
  }
};

void expect_near(const std::vector<float>& got, const std::vector<double>& right, index P) {
  double size = 0;
  for (const double number : right) size = (std::max)(size, std::abs(number));
  for (std::size_t i = 0; i < right.size(); ++i)
    ASSERT_NEAR(got[i], right[i], 2e-6 * size) << "P " << P << ", number " << i;
}

class wide_outputs : public testing::TestWithParam<index> {};

TEST_P(wide_outputs, ChunksGiveWhatLoopsGive) {
  const mamba2_problem p(37, 3, 5, GetParam());
  std::vector<float> out(p.x.size());
  gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, p.views(),
                    {.out = {out.data(), {1, p.L, p.H, p.P}}});
  expect_near(out, p.in_loops(), p.P);
}
TEST_P(wide_outputs, InThePlaceOfValuesAndOfTheirGate) {
  for (const auto place : {&mamba2_problem::x, &mamba2_problem::z}) {
    mamba2_problem p(37, 3, 5, GetParam());
    const auto right = p.in_loops();
    std::vector<float>& out = p.*place;
    gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, p.views(),
                      {.out = {out.data(), {1, p.L, p.H, p.P}}});
    expect_near(out, right, p.P);
  }
}
TEST_P(wide_outputs, SkipTermsThatDoNotLieSideBySide) {
  const auto expect_right = [](const mamba2_problem& p) {
    std::vector<float> out(p.x.size());
    gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, p.views(),
                      {.out = {out.data(), {1, p.L, p.H, p.P}}});
    expect_near(out, p.in_loops(), p.P);
  };
  mamba2_problem p(20, 3, 5, GetParam());
  p.head_stride = p.P, p.value_stride = 1, expect_right(p);
  p.head_stride = 1, p.value_stride = p.H, expect_right(p);  // transposed
  p.head_stride = 2 * p.P, p.value_stride = 2, expect_right(p);
  p.first = p.P - 1, p.head_stride = p.P, p.value_stride = -1, expect_right(p);
}
INSTANTIATE_TEST_SUITE_P(every, wide_outputs, testing::Values(16, 63, 64, 70, 130));

}  // namespace
