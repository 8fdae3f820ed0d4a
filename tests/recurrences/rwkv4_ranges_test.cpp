// Weights at the ends of their range: what is not written may be anything, a decay below all
// numbers is a reset, and m does not drift where time is cut.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <gatescan/testing/check_modes.hpp>
#include <limits>

#include "../support/compare.hpp"

namespace {

using namespace support;
constexpr double inf = std::numeric_limits<double>::infinity();

const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 3}, {mode::chunked, 0}, {mode::attention, 0}};

rwkv4::inputs one_channel(std::vector<double> k, std::vector<double> v, double w) {
  const auto L = static_cast<int64>(k.size());
  rwkv4::inputs in;
  in.k = in.v = tensor<double>({1, L, 1});
  in.k.data = std::move(k), in.v.data = std::move(v);
  in.w = tensor<double>({1}, w);
  in.u = tensor<double>({1});
  return in;
}

TEST(rwkv4_ranges, what_is_not_written_may_be_anything) {
  const auto in = one_channel({0, -inf, 0}, {1, std::nan(""), 1}, 0);
  for (const mode& m : modes) {
    SCOPED_TRACE(m);
    EXPECT_EQ((run_forward<rwkv4, float>(m, in).out.data), (std::vector<double>{1, 1, 1}));
  }
}

// NaN as other programs write it: some bits of its fraction are set besides the first.
TEST(rwkv4_ranges, every_nan_travels) {
  const auto check = [&]<class T>(double nan) {
    const std::size_t L = 20, at = 10;
    std::vector<double> k(L), v(L);
    for (std::size_t t = 0; t < L; ++t) k[t] = 0.1 * static_cast<double>(t % 3), v[t] = 1;
    k[at] = nan;
    const auto in = one_channel(k, v, -0.5);
    const auto dout = random_gradients<rwkv4>(rwkv4::forward(in), 3);
    for (const mode& m : modes) {
      SCOPED_TRACE(m);
      const auto out = run_forward<rwkv4, T>(m, in).out.data;
      for (std::size_t t = 0; t < L; ++t) EXPECT_EQ(std::isnan(out[t]), t >= at) << t;
      const auto d = run_backward<rwkv4, T>(m, in, dout);
      EXPECT_TRUE(std::isnan(d.k.data[at]) && std::isnan(d.v.data[at]));
    }
  };
  check.template operator()<float>(std::bit_cast<double>(std::uint64_t{0x7ff8000020000000}));
  check.template operator()<float>(std::bit_cast<double>(std::uint64_t{0x7ff8001440000000}));
  check.template operator()<double>(std::bit_cast<double>(std::uint64_t{0x7ff80000000007a2}));
}

TEST(rwkv4_ranges, a_decay_below_all_numbers_is_a_reset) {
  const auto in = one_channel({0, -inf, -inf, 0}, {1, 1, 1, 2}, -2e38);
  for (const mode& m : modes) {
    SCOPED_TRACE(m);
    EXPECT_EQ((run_forward<rwkv4, float>(m, in).out.data), (std::vector<double>{1, 1, 1, 2}));
  }
}

// A number that is added to all k changes no average: what is computed is their differences.
TEST(rwkv4_ranges, keys_may_be_far_from_0) {
  for (const double far : {1e2, 4096.0, 2e5}) {
    generator g(8);
    auto in = one_channel(std::vector<double>(512), std::vector<double>(512), -0.3);
    for (double& k : in.k.data) k = far + static_cast<double>(g.between(-64, 64)) / 32;  // a float
    for (double& v : in.v.data) v = static_cast<double>(static_cast<float>(g.normal()));
    in = rounded<rwkv4, float>(in);
    const auto want = rwkv4::forward(in).out;
    for (const mode& m : modes) {
      SCOPED_TRACE(::testing::Message() << m << " " << far);
      EXPECT_LE(relative_rms((run_forward<rwkv4, float>(m, in).out), want, 0, 0), 1e-6);
    }
  }
}

// Nor does it change what a token's own bonus is worth, and a state means num e^m and den e^m to
// the last bits of num and den, whatever m is rounded to: so do their gradients.
TEST(rwkv4_ranges, far_from_0_nothing_is_lost_beside_m) {
  for (const double far : {-1e4, 100.0, 1e4}) {
    generator g(10);
    auto in = one_channel(std::vector<double>(100), std::vector<double>(100), -0.3);
    in.u(0) = 0.7;
    for (double& k : in.k.data) k = far + static_cast<double>(g.between(-64, 64)) / 32;
    for (int64 t = 70; t < 100; ++t) in.k(0, t, 0) -= 20;  // m is no key at the end
    for (double& v : in.v.data) v = static_cast<double>(static_cast<float>(g.normal()));
    in = rounded<rwkv4, float>(in);
    const auto want = rwkv4::forward(in);
    const auto logarithm = [](const auto& state, int64 part) {
      return std::log(std::abs(state(0, 0, 0, part))) + state(0, 0, 0, 2);
    };
    for (const mode& m : modes) {
      SCOPED_TRACE(::testing::Message() << m << " " << far);
      const auto got = run_forward<rwkv4, float>(m, in);
      EXPECT_LE(relative_rms(got.out, want.out, 0, 0), 1e-6);
      EXPECT_NEAR(logarithm(got.final_state, 0), logarithm(want.final_state, 0), 3e-6);
      EXPECT_NEAR(logarithm(got.final_state, 1), logarithm(want.final_state, 1), 3e-6);
      // of den e^m in both, each in its own numbers
      rwkv4::outputs dout{tensor<double>({1, 100, 1}), tensor<double>(got.final_state.shape)};
      dout.final_state(0, 0, 0, 1) = 1;
      const auto exact = rwkv4::backward(in, dout);
      dout.final_state(0, 0, 0, 1) =
          std::exp(got.final_state(0, 0, 0, 2) - want.final_state(0, 0, 0, 2));
      const auto d = run_backward<rwkv4, float>(m, in, dout);
      EXPECT_LE(relative_rms(d.k, exact.k, 0, 0), 3e-6);
    }
  }
}

// An average of large values is no larger than they are, whatever a weight by an older m would be.
TEST(rwkv4_ranges, large_values_have_averages) {
  for (const double size : {1e14, 1e30, 1e38}) {
    generator g(9);
    auto in = one_channel(std::vector<double>(64), std::vector<double>(64), -7);
    for (double& v : in.v.data) v = size * g.uniform(-1, 1);
    in = rounded<rwkv4, float>(in);
    const auto want = rwkv4::forward(in);
    for (const mode& m : modes) {
      SCOPED_TRACE(::testing::Message() << m << " " << size);
      const auto got = run_forward<rwkv4, float>(m, in);
      EXPECT_LE(relative_rms(got.out, want.out, 0, 0), 1e-6);
      EXPECT_NEAR(got.final_state(0, 0, 0, 0) / got.final_state(0, 0, 0, 1),
                  want.final_state(0, 0, 0, 0) / want.final_state(0, 0, 0, 1), 1e-6 * size);
    }
  }
}

// Added to a float each of 4096 equal decays would be rounded alike.
TEST(rwkv4_ranges, m_does_not_drift_but_in_recurrent_mode) {
  std::vector<double> k(4096, -100), v(4096, 1);
  k[0] = 50;
  const auto in = one_channel(k, v, static_cast<double>(-0.001f));
  const double want = 50 + 4095 * static_cast<double>(-0.001f);
  for (const mode& m : modes) {
    if (m.kind == mode::recurrent) continue;
    SCOPED_TRACE(m);
    const auto state = run_forward<rwkv4, float>(m, in).final_state;
    EXPECT_NEAR(state(0, 0, 0, 2), want, 4e-6);
    EXPECT_NEAR(state(0, 0, 0, 0) / state(0, 0, 0, 1), 1, 1e-6);
  }
}

// Of all channels of a register some leave the range in which tokens go together: the others have
// the bits that they have alone, forward and backward.
TEST(rwkv4_ranges, channels_have_the_bits_that_they_have_alone) {
  constexpr int64 L = 50, D = 16;
  generator g(11);
  rwkv4::inputs in{g.normals({1, L, D}),
                   g.normals({1, L, D}),
                   tensor<double>({D}, -0.3),
                   g.normals({D}),
                   {},
                   {}};
  for (int64 t = 0; t < L; ++t)
    for (int64 d = 1; d < D; d += 2) in.k(0, t, d) += 60.0 * static_cast<double>(t * d % 7 - 3);
  in = rounded<rwkv4, float>(in);
  const rwkv4::outputs dout{g.normals({1, L, D}), {}};
  for (const mode& m : modes) {
    const auto out = run_forward<rwkv4, float>(m, in).out;
    const auto grad = run_backward<rwkv4, float>(m, in, dout);
    for (int64 d = 0; d < D; ++d) {
      SCOPED_TRACE(::testing::Message() << m << " channel " << d);
      const auto channel = [&](const tensor<double>& x) {
        tensor<double> one({1, L, 1});
        for (int64 t = 0; t < L; ++t) one(0, t, 0) = x(0, t, d);
        return one;
      };
      const rwkv4::inputs alone{channel(in.k),
                                channel(in.v),
                                tensor<double>({1}, in.w(d)),
                                tensor<double>({1}, in.u(d)),
                                {},
                                {}};
      EXPECT_EQ((run_forward<rwkv4, float>(m, alone).out.data), channel(out).data);
      const auto d_alone = run_backward<rwkv4, float>(m, alone, {channel(dout.out), {}});
      EXPECT_EQ(d_alone.k.data, channel(grad.k).data);
      EXPECT_EQ(d_alone.v.data, channel(grad.v).data);
    }
  }
}

}  // namespace

// The same average with a decay a token, which is not steady.
struct average_of_tokens : gatescan::average_state<average_of_tokens, gatescan::rwkv4_state>,
                           gatescan::plain_values,
                           gatescan::plain_output {
  static constexpr const char* name = "average_of_tokens";
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::entry,
                                                  .reads = gatescan::readout::exclusive,
                                                  .normaliser = true};

  template <class V>
  struct fields {
    using recurrence = average_of_tokens;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> k{}, v{}, w{};
    gatescan::state_field<V, gatescan::rwkv4_state> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum gatescan::axis;
    using enum gatescan::presence;
    f("k", gatescan::axes{batch, time, channel}, required, s.k...);
    f("v", gatescan::axes{batch, time, channel}, required, s.v...);
    f("w", gatescan::axes{batch, time, channel}, required, s.w...);
  }
  GATESCAN_MEMBER auto log_weights(const auto& x, const auto& at) {
    using E = decltype(at(x.k));
    return gatescan::log_weights_and_bonus_of<E>{at(x.w), at(x.k), E(0.5) * at(x.w)};
  }
};

namespace {

TEST(rwkv4_ranges, decays_may_change_from_token_to_token) {
  constexpr int64 L = 100, D = 21;
  generator g(12);
  const auto k = g.normals({1, L, D}), v = g.normals({1, L, D});
  tensor<double> w({1, L, D});
  for (double& x : w.data) x = g.uniform(-2, 0);
  average_of_tokens::inputs<double> in;
  in.k = {k.data.data(), {1, L, D}}, in.v = {v.data.data(), {1, L, D}};
  in.w = {w.data.data(), {1, L, D}};
  const auto worst = gatescan::check_modes(gatescan::cpu{}, in);
  EXPECT_LT(worst.epsilons, 1000) << worst.mode << " " << worst.format << " " << worst.result;
}

}  // namespace
