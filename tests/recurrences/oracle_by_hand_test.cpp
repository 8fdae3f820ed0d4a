// The forward equations of the oracle: one case a recurrence whose results were made by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../support/cases/all.hpp"
#include "../support/problem.hpp"

namespace {

using namespace support;

// three steps with distinct primes: which gate meets which state (S1)
TEST(oracle, elementwise_by_hand) {
  real_elementwise::inputs in;
  in.a = tensor<double>({1, 3, 1, 1});
  in.a.data = {2, 3, 5};
  in.x = tensor<double>({1, 3, 1, 1});
  in.x.data = {7, 11, 13};
  in.initial_state = tensor<double>({1, 1, 1}, 17);
  const auto out = real_elementwise::forward(in);
  EXPECT_EQ(out.out.data, (std::vector<double>{41, 134, 683}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{683}));
}

TEST(oracle, gateloop_by_hand) {
  gateloop::inputs in;
  using c = cplx<double>;
  in.q = tensor<c>({1, 2, 1, 1});
  in.q.data = {c(2, 1), c(0, 3)};
  in.k = tensor<c>({1, 2, 1, 1});
  in.k.data = {c(1, 1), c(5, -1)};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {7, 2};
  in.a = tensor<c>({1, 2, 1, 1});
  in.a.data = {c(9, 9), c(0, 2)};
  const auto out = gateloop::forward(in);
  // S_1 = 7 + 7i; S_2 = 2i (7 + 7i) + 10 - 2i = -4 + 12i; q S: 7 + 21i, -36 - 12i
  EXPECT_EQ(out.out.data, (std::vector<double>{7, -36}));
  EXPECT_EQ(out.final_state.data, (std::vector<c>{c(-4, 12)}));
}

TEST(oracle, gla_by_hand) {
  gla::inputs in;
  in.q = tensor<double>({1, 2, 1, 2});
  in.q.data = {2, 3, 5, 7};
  in.k = tensor<double>({1, 2, 1, 2});
  in.k.data = {11, 13, 17, 19};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {1, 2};
  in.log_decay = tensor<double>({1, 2, 1, 2});
  in.log_decay.data = {-1, -1, 0, -std::numeric_limits<double>::infinity()};
  in.scale = 0.5;
  const auto out = gla::forward(in);  // S = (11, 13), then (11 + 34, 38)
  EXPECT_EQ(out.out.data, (std::vector<double>{30.5, 245.5}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{45, 38}));
}

TEST(oracle, selective_scan_by_hand) {
  selective_scan::inputs in;
  in.u = tensor<double>({1, 2, 1});
  in.u.data = {3, 5};
  in.delta = tensor<double>({1, 2, 1});
  in.delta.data = {2, 7};
  in.A = tensor<double>({1, 1}, 0);
  in.B = tensor<double>({1, 2, 1, 1});
  in.B.data = {11, 13};
  in.C = tensor<double>({1, 2, 1, 1});
  in.C.data = {17, 19};
  in.D = tensor<double>({1}, 23);
  const auto out = selective_scan::forward(in);  // h = 66, then 66 + 455
  EXPECT_EQ(out.out.data, (std::vector<double>{17 * 66 + 69, 19 * 521 + 115}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{521}));
  in.z = tensor<double>({1, 2, 1}, 0);
  EXPECT_EQ(selective_scan::forward(in).out.data, (std::vector<double>{0, 0}));
}

TEST(oracle, mamba2_by_hand) {
  mamba2::inputs in;
  in.x = tensor<double>({1, 2, 1, 2});
  in.x.data = {3, 5, 7, 11};
  in.dt = tensor<double>({1, 2, 1});
  in.dt.data = {2, 4};
  in.most_dt = 3;
  in.A = tensor<double>({1}, 0);
  in.B = tensor<double>({1, 2, 1, 1});
  in.B.data = {13, 17};
  in.C = tensor<double>({1, 2, 1, 1});
  in.C.data = {19, 23};
  in.D = tensor<double>({1, 1}, 29);
  const auto out = mamba2::forward(in);  // S = 26 (3, 5), then that + 51 (7, 11)
  EXPECT_EQ(out.out.data, (std::vector<double>{1569, 2615, 10208, 16212}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{435, 691}));
  in.z = tensor<double>({1, 2, 1, 2}, 0);
  EXPECT_EQ(mamba2::forward(in).out.data, (std::vector<double>{0, 0, 0, 0}));
}

TEST(oracle, rwkv6_by_hand) {
  rwkv6::inputs in;
  in.r = tensor<double>({1, 2, 1, 1});
  in.r.data = {2, 3};
  in.k = tensor<double>({1, 2, 1, 1});
  in.k.data = {5, 7};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {11, 13};
  in.w = tensor<double>({1, 2, 1, 1});
  in.w.data = {0, -std::numeric_limits<double>::infinity()};
  in.u = tensor<double>({1, 1}, 17);
  in.initial_state = tensor<double>({1, 1, 1, 1}, 19);
  in.scale = 0.5;
  const auto out = rwkv6::forward(in);  // 19 + 17 55 is read, S = 74; 74 + 17 91 is read, S = 91
  EXPECT_EQ(out.out.data, (std::vector<double>{954, 2431.5}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{91}));
}

TEST(oracle, rwkv4_by_hand) {
  rwkv4::inputs in;
  in.k = tensor<double>({1, 3, 1});
  in.k.data = {std::log(2), -std::numeric_limits<double>::infinity(), std::log(3)};
  in.v = tensor<double>({1, 3, 1});
  in.v.data = {7, 11, 13};
  in.w = tensor<double>({1}, std::log(0.5));
  in.u = tensor<double>({1}, std::log(5));
  const auto out = rwkv4::forward(in);  // (2 7, 2), (7, 1), (3.5 + 3 13, 0.5 + 3)
  EXPECT_DOUBLE_EQ(out.out(0, 0, 0), 7);
  EXPECT_DOUBLE_EQ(out.out(0, 1, 0), 7);
  EXPECT_DOUBLE_EQ(out.out(0, 2, 0), (7 + 15 * 13) / 16.0);
  const double scale = std::exp(out.final_state(0, 0, 0, 2));
  EXPECT_DOUBLE_EQ(scale * out.final_state(0, 0, 0, 0), 42.5);
  EXPECT_DOUBLE_EQ(scale * out.final_state(0, 0, 0, 1), 3.5);
}

TEST(oracle, rwkv7_by_hand) {
  rwkv7::inputs in;
  in.r = tensor<double>({1, 2, 1, 2});
  in.r.data = {1, 10, 2, 3};
  in.w = tensor<double>({1, 2, 1, 2});
  in.w.data = {0, -std::numeric_limits<double>::infinity(), 0, 0};
  in.k = tensor<double>({1, 2, 1, 2});
  in.k.data = {1, 2, 0, 1};
  in.a = tensor<double>({1, 2, 1, 2});
  in.a.data = {1, 1, 1, 0};
  in.b = tensor<double>({1, 2, 1, 2});
  in.b.data = {-1, 3, 0, 2};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {7, 11};
  in.initial_state = tensor<double>({1, 1, 2, 1});
  in.initial_state.data = {3, 5};
  in.scale = 0.5;
  const auto out = rwkv7::forward(in);  // 8 is read, S = (2, 38); 2 is, S = (2, 53)
  EXPECT_EQ(out.out.data, (std::vector<double>{191, 81.5}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{2, 53}));
}

TEST(oracle, gated_delta_net_by_hand) {
  gated_delta_net::inputs in;
  in.q = tensor<double>({1, 2, 1, 2});
  in.q.data = {11, 13, 1, 5};
  in.k = tensor<double>({1, 2, 1, 2});
  in.k.data = {1, 2, 2, 1};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {7, 3};
  in.beta = tensor<double>({1, 2, 1});
  in.beta.data = {0.5, 2};
  in.log_decay = tensor<double>({1, 2, 1, 2});
  in.log_decay.data = {0, 0, -std::numeric_limits<double>::infinity(), 0};
  in.initial_state = tensor<double>({1, 1, 2, 1});
  in.initial_state.data = {3, 5};
  in.scale = 0.5;
  const auto out = gated_delta_net::forward(in);  // 13 is stored, S = (0, -1); -1 is, S = (16, 7)
  EXPECT_EQ(out.out.data, (std::vector<double>{-6.5, 25.5}));
  EXPECT_EQ(out.final_state.data, (std::vector<double>{16, 7}));
  in.normalise = true, in.eps = 4;  // k = (1, 2) / 3: 13 / 3 is stored
  in.log_decay = {};
  EXPECT_NEAR(gated_delta_net::forward(in).out.data[0] * std::sqrt(11 * 11 + 13 * 13 + 4.0),
              0.5 * (11 * (3 + 4.0 / 9) + 13 * (5 + 8.0 / 9)), 1e-12);
}

TEST(oracle, hgrn2_by_hand) {
  hgrn2::inputs in;
  in.q = tensor<double>({1, 2, 1, 1});
  in.q.data = {2, 3};
  in.f = tensor<double>({1, 2, 1, 1});
  in.f.data = {0, std::log(3.0)};
  in.i = tensor<double>({1, 2, 1, 1});
  in.i.data = {8, 16};
  in.lower_bound = tensor<double>({1, 1}, 0.5);
  in.initial_state = tensor<double>({1, 1, 1, 1}, 4);
  const auto out = hgrn2::forward(in);  // gates 3/4 and 7/8: S = 3 + 2, then 35/8 + 2
  EXPECT_NEAR(out.out.data[0], 10, 1e-14);
  EXPECT_NEAR(out.out.data[1], 19.125, 1e-14);
}

TEST(oracle, retention_by_hand) {
  retention::inputs in;
  in.q = tensor<double>({1, 2, 1, 1});
  in.q.data = {2, 3};
  in.k = tensor<double>({1, 2, 1, 1});
  in.k.data = {5, 7};
  in.v = tensor<double>({1, 2, 1, 1});
  in.v.data = {11, 13};
  in.log_decay = tensor<double>({1}, std::log(0.5));
  in.scale = 0.5;
  const auto out = retention::forward(in);  // S = 55, then 27.5 + 91
  EXPECT_NEAR(out.out.data[0], 55, 1e-13);
  EXPECT_NEAR(out.out.data[1], 177.75, 1e-13);
}

// gates 1/4, then a reset
TEST(oracle, channels_with_gates_of_preactivations_by_hand) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const double third = std::log(3.0);
  const auto numbers = [](double first, double second) {
    tensor<double> x({1, 2, 1, 1});
    x.data = {first, second};
    return x;
  };
  const auto expect = [](const tensor<double>& out, double first, double second) {
    EXPECT_NEAR(out.data[0], first, 1e-14);
    EXPECT_NEAR(out.data[1], second, 1e-14);
  };
  hgrn::inputs decays;
  decays.x = numbers(7, 5);
  decays.log_decay = numbers(std::log(0.25), -inf);
  decays.initial_state = tensor<double>({1, 1, 1}, 4);
  expect(hgrn::forward(decays).out, 8, 5);
  min_gru::inputs gru;
  gru.z = numbers(third, inf);
  gru.h = numbers(1.5, -third);  // candidates 2 and 1/4
  gru.initial_state = decays.initial_state;
  expect(min_gru::forward(gru).out, 2.5, 0.25);
  min_lstm::inputs lstm;
  lstm.f = numbers(-std::log(4.0), -inf);  // 1/5 and 3/5 are a quarter and three quarters
  lstm.i = numbers(std::log(1.5), 0);
  lstm.h = gru.h;
  lstm.initial_state = decays.initial_state;
  expect(min_lstm::forward(lstm).out, 2.5, 0.25);
  rg_lru::inputs lru;
  lru.Lambda = tensor<double>({1, 1}, std::log(15.0));  // 8 log 16 log 2
  lru.r = numbers(-std::log(15.0), inf);                // sigmoids 1/16 and 1: gates 1/4 and 2^-32
  lru.i = numbers(0, inf);
  lru.x = numbers(6, 5);
  lru.initial_state = decays.initial_state;
  expect(rg_lru::forward(lru).out, 1 + 3 * std::sqrt(15.0) / 4,
         5 * std::sqrt(1 - std::ldexp(1.0, -64)) + std::ldexp(1 + 3 * std::sqrt(15.0) / 4, -32));
}

// a reset selects: neither Inf nor NaN of before comes through, forward or backward
TEST(oracle, resets_leave_out_what_came_before) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  real_elementwise::inputs in;
  in.a = tensor<double>({1, 3, 1, 1});
  in.a.data = {1, 0, 0.5};
  in.x = tensor<double>({1, 3, 1, 1});
  in.x.data = {nan, 4, 1};
  auto out = real_elementwise::forward(in);
  EXPECT_EQ(out.out.data[1], 4);
  EXPECT_EQ(out.out.data[2], 3);
  in.x.data = {2, 4, 1};
  out = real_elementwise::forward(in);
  out.out.data = {1, nan, 1};
  out.final_state.data = {0};
  const auto d = real_elementwise::backward(in, out);
  EXPECT_EQ(d.x.data[0], 1);
  EXPECT_EQ(d.x.data[2], 1);
}

}  // namespace
