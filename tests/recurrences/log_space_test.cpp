// Weights in log space: preactivations of any size, what m may not change, and what is empty.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

constexpr double inf = std::numeric_limits<double>::infinity();
const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 3}, {mode::chunked, 0}, {mode::attention, 0}};

mlstm::inputs usual(std::uint64_t seed, bool initial_state = true) {
  options c;
  c.initial_state = initial_state;
  auto in = problem<mlstm>({2, 67, 2, 5, 7}, c, seed);
  in.eps = 0;  // which counts in units of e^m
  return in;
}

// Gradients by the size of the largest: where one token outweighs all others, gates count for
// nothing and their gradients are what is left of terms that cancel.
template <class T>
void expect_right(const mlstm::inputs& given) {
  const auto in = rounded<mlstm, T>(given);
  const auto want = mlstm::forward(in);
  const auto dout = rounded_results<mlstm, T>(random_gradients<mlstm>(want, 5));
  const auto gradients = as_returned<mlstm>(in, mlstm::backward(in, dout));
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    expect_results<mlstm>(run_forward<mlstm, T>(m, in), want, tolerance_of<T>());
    double size = 0;
    mlstm::operands([&](const char*, const auto& w) { size = std::max(size, rms(w)); }, gradients);
    auto got = run_backward<mlstm, T>(m, in, dout);
    mlstm::operands(
        [&](const char* name, const auto& g, const auto& w) {
          if (!w.given()) return;
          EXPECT_LE(rms(difference(g, w)), tolerance_of<T>().gradient * size) << name;
        },
        got, gradients);
  }
}

// Where one token outweighs all others by far, n is its key alone: keys and queries of one sign.
mlstm::inputs of_one_sign(mlstm::inputs in) {
  in.q = magnitude(in.q), in.k = magnitude(in.k);
  return in;
}

TEST(log_space, preactivations_of_ten_thousand) {
  generator g(3);
  for (const double size : {1e2, 1e4})
    for (const bool initial_state : {false, true}) {
      auto in = of_one_sign(usual(11, initial_state));
      for (double& i : in.i.data) i = size * (g.coin() ? 1 : -1) * g.uniform(0.5, 1);
      for (double& f : in.f.data) f = size * (g.coin() ? 1 : -1) * g.uniform(0.5, 1);
      expect_right<double>(in);
      expect_right<float>(in);
    }
}

// The numbers meant are C e^m: what is added to every i and to m changes nothing, and what does not
// round i either, no bit.
TEST(log_space, a_shift_of_m_changes_nothing) {
  auto in = rounded<mlstm, float>(of_one_sign(usual(12)));
  for (double& i : in.i.data) i = 16 + std::round(64 * i) / 64;  // |n| counts, not e^-m
  auto shifted = in;
  const double shift = 4096;
  for (double& i : shifted.i.data) i += shift;
  const int64 m_column = in.initial_state.extent(3) - 1;
  for (int64 n = 0; n < 2; ++n)
    for (int64 h = 0; h < 2; ++h) {
      in.initial_state(n, h, 0, m_column) = 16;
      shifted.initial_state(n, h, 0, m_column) = 16 + shift;
    }
  for (double& f : in.f.data) f = -inf;  // m then is one of the i
  for (std::size_t i = 0; i < in.f.data.size(); i += 3) in.f.data[i] = inf;
  shifted.f = in.f;
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto want = run_forward<mlstm, float>(m, in);
    const auto got = run_forward<mlstm, float>(m, shifted);
    EXPECT_TRUE(same_bits(got.out, want.out));
    const auto dout = random_gradients<mlstm>(want, 6);
    EXPECT_TRUE(same_bits(run_backward<mlstm, float>(m, shifted, dout).q,
                          run_backward<mlstm, float>(m, in, dout).q));
  }
}

TEST(log_space, what_writes_nothing) {
  auto in = usual(13, false);
  for (int64 b = 0; b < 2; ++b)
    for (int64 h = 0; h < 2; ++h) {
      for (int64 t = 0; t < 30; ++t) in.i(b, t, h) = -inf;  // an empty prefix
      for (int64 t = 40; t < 50; t += 2) in.i(b, t, h) = -inf;
      in.f(b, 45, h) = -inf;
    }
  expect_right<double>(in);
  for (const mode& m : modes) {
    const auto out = run_forward<mlstm, float>(m, in).out;
    for (int64 t = 0; t < 30; ++t) EXPECT_EQ(out(1, t, 1, 2), 0) << m << " " << t;
  }
  for (double& i : in.i.data) i = -inf;  // and nothing at all
  for (const mode& m : modes) {
    const auto got = run_forward<mlstm, double>(m, in);
    EXPECT_TRUE(same_bits(got.out, tensor<double>(got.out.shape)));
    EXPECT_EQ(got.final_state(0, 0, 0, 8), -inf);
  }
}

// 20,000 gates of e^-1e-4 at m = 900, where a step of m is smaller than float's: what rounding does
// to m does not get lost in the state.
TEST(log_space, m_does_not_drift_from_the_state) {
  mlstm::inputs in;
  constexpr int64 L = 20000;
  in.q = in.k = in.v = tensor<double>({1, L, 1, 1}, 1);
  in.i = tensor<double>({1, L, 1}, -inf);
  in.f = tensor<double>({1, L, 1}, generator::logit_of_log(-1e-4));
  in.initial_state = tensor<double>({1, 1, 1, 3, 1, 1, 1});
  in.initial_state.data = {1, 1, 900};  // C, n, m
  in = rounded<mlstm, float>(in);
  for (const mode& m :
       modes_of<mlstm>({{mode::recurrent, 0}, {mode::chunked, 0}, {mode::scan, 0}})) {
    const auto got = run_forward<mlstm, float>(m, in).final_state;
    const double log_state = std::log(got.data[0]) + got.data[2];
    EXPECT_NEAR(log_state, 898, 2e-3) << m;
  }
}

// Rows of the map times the values are the output, of a normalised one too, and no more than what
// its initial state adds is missing.
template <class O>
void expect_map_is_output(typename O::inputs in) {
  in = rounded<O, double>(in);
  const auto out = O::forward(in).out;
  prepared<O, double> p(in, {});
  const int64 B = out.extent(0), L = out.extent(1), H = out.extent(2);
  stored<double> room({B, H, L, L}, false, layouts::dense, poison_nan);
  gatescan::attention_map(gatescan::cpu{.threads = 2}, p.lib, gatescan::view<double>(room));
  tensor<double> map, applied(out.shape);
  room.read(map);
  oracle::each_place(out.shape, [&](int64 b, int64 t, int64 h, int64 j) {
    for (int64 s = 0; s <= t; ++s)
      applied(b, t, h, j) += map(b, h, t, s) * oracle::at(in.v, b, s, h, j, H);
  });
  EXPECT_LE(relative_rms(applied, out, 0, 0), 1e-12);
}
TEST(log_space, the_map_applied_to_the_values_is_the_output) {
  expect_map_is_output<mlstm>(usual(14, false));
  auto initial = usual(14);  // n counts, C is empty
  const int64 K = 5, V = 7;
  for (int64 n = 0; n < 2; ++n)
    for (int64 h = 0; h < 2; ++h)
      for (int64 i = 0; i < K; ++i)
        for (int64 j = 0; j < V; ++j) initial.initial_state(n, h, i, j) = 0;
  expect_map_is_output<mlstm>(initial);
  options c;
  c.initial_state = false;
  for (const bool normalise : {false, true}) {
    c.switches["normalise"] = normalise;
    expect_map_is_output<linear_attention>(problem<linear_attention>({2, 40, 2, 4, 3}, c, 15));
  }
}

}  // namespace
