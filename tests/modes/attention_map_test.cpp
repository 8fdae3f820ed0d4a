// The surrogate attention map against its definition in plain loops:
//   P[t, s] = Re sum_i q_t[i] k_s[i] prod_{j=s+1..t} a_j[i] for s <= t, and 0 above the diagonal.
#include <gtest/gtest.h>

#include <functional>

#include "../support/compare.hpp"

namespace {

using namespace support;

bool together(const std::vector<int64>& offsets, int64 s, int64 t) {
  if (offsets.empty()) return true;
  const auto sequence = [&](int64 i) {
    return std::upper_bound(offsets.begin(), offsets.end(), i) - offsets.begin();
  };
  return sequence(s) == sequence(t);
}

// P of one (batch, head): gate(t, i), weight(t, s, i)
template <class Gate, class Weight>
void fill(int64 L, int64 K, const std::vector<int64>& offsets, Gate gate, Weight weight,
          const std::function<double&(int64, int64)>& P) {
  using E = decltype(gate(0, 0));
  for (int64 s = 0; s < L; ++s)
    for (int64 i = 0; i < K; ++i) {
      E product(1);
      for (int64 t = s; t < L && together(offsets, s, t); ++t) {
        if (t > s) product = gate(t, i) * product;
        P(t, s) += re(weight(t, s, i) * product);
      }
    }
}

const std::vector<sizes> all_sizes{
    {2, 1, 2, 3, 2}, {1, 17, 2, 5, 3}, {2, 67, 2, 3, 1}, {1, 0, 1, 2, 2}};

template <class T, class Inputs>
tensor<double> run_map(const Inputs& in, extents shape, int threads) {
  stored<T> map(std::move(shape), false, layouts::dense, poison_nan);
  gatescan::attention_map(gatescan::cpu{.threads = threads}, in, gatescan::view<T>(map));
  EXPECT_TRUE(map.guards_intact());
  tensor<double> r;
  map.read(r);
  return r;
}

TEST(attention_map, of_gla) {
  for (const sizes& n : all_sizes)
    for (const bool packed : {false, true}) {
      options c;
      c.gate = gates::resets;
      c.group = n.H;
      c.sequences = packed && n.B == 1 ? 3 : 0;
      const auto in = problem<gla>(n, c, 180);
      tensor<double> want({n.B, n.H, n.L, n.L});
      for (int64 b = 0; b < n.B; ++b)
        for (int64 h = 0; h < n.H; ++h)
          fill(
              n.L, n.K, in.sequence_offsets,
              [&](int64 t, int64 i) { return std::exp(oracle::at(in.log_decay, b, t, h, i, n.H)); },
              [&](int64 t, int64 s, int64 i) {
                return in.scale * oracle::at(in.q, b, t, h, i, n.H) *
                       oracle::at(in.k, b, s, h, i, n.H);
              },
              [&](int64 t, int64 s) -> double& { return want(b, h, t, s); });
      prepared<gla, double> p(in, {});
      for (const int threads : {1, 3}) {
        const auto got = run_map<double>(p.lib, want.shape, threads);
        EXPECT_LE(relative_rms(got, want, 1, 0), 1e-13) << n;
        for (int64 t = 0; t < n.L; ++t)
          for (int64 s = t + 1; s < n.L; ++s) EXPECT_EQ(got(0, 0, t, s), 0) << t << " " << s;
      }
    }
}

TEST(attention_map, of_gateloop) {
  for (const sizes& n : all_sizes)
    for (const bool linear : {false, true}) {
      options c;
      c.gate = gates::resets;
      c.switches["linear_gate"] = linear;
      const auto in = problem<gateloop>(n, c, 181);
      tensor<double> want({n.B, n.H, n.L, n.L});
      for (int64 b = 0; b < n.B; ++b)
        for (int64 h = 0; h < n.H; ++h)
          fill(
              n.L, n.K, in.sequence_offsets,
              [&](int64 t, int64 i) {
                if (linear) return in.a(b, t, h, i);
                const double r = std::exp(in.log_magnitude(b, t, h, i)), p = in.phase(b, t, h, i);
                return cplx<double>(r * std::cos(p), r * std::sin(p));
              },
              [&](int64 t, int64 s, int64 i) { return in.q(b, t, h, i) * in.k(b, s, h, i); },
              [&](int64 t, int64 s) -> double& { return want(b, h, t, s); });
      prepared<gateloop, double> p(in, {});
      EXPECT_LE(relative_rms(run_map<double>(p.lib, want.shape, 2), want, 1, 0), 1e-13) << n;
    }
}

// P of channel d reads v = delta' u
TEST(attention_map, of_selective_scan) {
  for (const sizes& n : all_sizes) {
    options c;
    c.group = n.H;
    const auto in = problem<selective_scan>(n, c, 182);
    tensor<double> want({n.B, n.H, n.L, n.L});
    for (int64 b = 0; b < n.B; ++b)
      for (int64 d = 0; d < n.H; ++d)
        fill(
            n.L, n.K, in.sequence_offsets,
            [&](int64 t, int64 i) {
              return std::exp(oracle::softplus(in.delta(b, t, d) + in.delta_bias(d)) * in.A(d, i));
            },
            [&](int64 t, int64 s, int64 i) {
              const int64 g = d / (n.H / in.B.extent(2));
              return in.C(b, t, g, i) * in.B(b, s, g, i);
            },
            [&](int64 t, int64 s) -> double& { return want(b, d, t, s); });
    prepared<selective_scan, double> p(in, {});
    EXPECT_LE(relative_rms(run_map<double>(p.lib, want.shape, 2), want, 1, 0), 1e-13) << n;
  }
}

TEST(attention_map, of_elementwise) {
  for (const sizes& n : all_sizes) {
    options c;
    c.gate = gates::resets;
    const auto in = problem<complex_elementwise>(n, c, 183);
    tensor<cplx<double>> want({n.B, n.H, n.V, n.L, n.L});
    for (int64 b = 0; b < n.B; ++b)
      for (int64 h = 0; h < n.H; ++h)
        for (int64 d = 0; d < n.V; ++d)
          for (int64 s = 0; s < n.L; ++s) {
            cplx<double> product(1);
            for (int64 t = s; t < n.L; ++t) {
              if (t > s) product = in.a(b, t, h, d) * product;
              want(b, h, d, t, s) = product;
            }
          }
    prepared<complex_elementwise, double> p(in, {});
    stored<double> map(want.shape, true, layouts::dense, poison_nan);
    gatescan::attention_map(gatescan::cpu{.threads = 2}, p.lib,
                            gatescan::complex_view<double>(map));
    EXPECT_TRUE(map.guards_intact());
    auto got = want;
    map.read(got);
    EXPECT_LE(relative_rms(got, want, 1, 0), 1e-13) << n;
  }
}

// Rows of an average's map times v are the output, and what they lack to 1 is the initial state's
// weight.
TEST(attention_map, of_rwkv4) {
  for (const gates gate : {gates::mild, gates::one, gates::strong, gates::resets})
    for (const int64 sequences : {0, 3}) {
      options c;
      c.gate = gate;
      c.sequences = sequences;
      const double far = sequences > 0 ? 4096 : 0;  // of all logarithms: only differences count
      auto in = problem<rwkv4>({sequences > 0 ? 1 : 2, 40, 2, 1, 11}, c, 185);
      constexpr double first = 3;  // of every initial average
      for (int64 n = 0; n < in.initial_state.extent(0); ++n)
        for (int64 d = 0; d < 22; ++d)
          in.initial_state(n, d, 0, 0) = first * in.initial_state(n, d, 0, 1),
                                    in.initial_state(n, d, 0, 2) += far;
      for (double& k : in.k.data) k += far;
      auto want = rwkv4::forward(in).out;
      prepared<rwkv4, double> p(in, {});
      const int64 B = in.k.extent(0);
      const auto map = run_map<double>(p.lib, {B, 22, 40, 40}, 2);
      tensor<double> applied(want.shape);
      for (int64 b = 0; b < B; ++b)
        for (int64 d = 0; d < 22; ++d)
          for (int64 t = 0; t < 40; ++t) {
            double sum = 0;
            for (int64 s = 0; s < 40; ++s) {
              sum += map(b, d, t, s);
              applied(b, t, d) += map(b, d, t, s) * in.v(b, s, d);
              EXPECT_TRUE(s <= t || map(b, d, t, s) == 0);
            }
            // where nothing has been written no weight is
            applied(b, t, d) += (want(b, t, d) == 0 && sum == 0 ? 0 : 1 - sum) * first;
          }
      EXPECT_LE(relative_rms(applied, want, 0, 0), 1e-13) << gate << " " << sequences;
    }
}

// The same of heads with one key.
TEST(attention_map, of_aaren) {
  for (const gates gate : {gates::mild, gates::resets})
    for (const int64 sequences : {0, 3}) {
      constexpr int64 H = 2, L = 19, V = 3;
      options c;
      c.gate = gate;
      c.sequences = sequences;
      auto in = problem<aaren>({sequences > 0 ? 1 : 2, L, H, 1, V}, c, 186);
      constexpr double first = 3;  // of every initial average
      for (int64 n = 0; n < in.initial_state.extent(0); ++n)
        for (int64 h = 0; h < H; ++h)
          for (int64 j = 0; j < V; ++j)
            in.initial_state(n, h, 0, j) = first * in.initial_state(n, h, 0, V);
      const auto want = aaren::forward(in).out;
      prepared<aaren, double> p(in, {});
      const int64 B = in.v.extent(0);
      const auto map = run_map<double>(p.lib, {B, H, L, L}, 2);
      tensor<double> applied(want.shape);
      for (int64 b = 0; b < B; ++b)
        for (int64 h = 0; h < H; ++h)
          for (int64 t = 0; t < L; ++t) {
            double sum = 0;
            for (int64 s = 0; s <= t; ++s) sum += map(b, h, t, s);
            for (int64 j = 0; j < V; ++j) {
              for (int64 s = 0; s <= t; ++s)
                applied(b, t, h, j) += map(b, h, t, s) * in.v(b, s, h, j);
              applied(b, t, h, j) += (1 - sum) * first;
            }
          }
      EXPECT_LE(relative_rms(applied, want, 0, 0), 1e-13) << gate << " " << sequences;
    }
}

// the map times the values is the output
TEST(attention_map, applied_to_the_values_is_the_output) {
  options c;
  c.initial_state = false;
  const auto in = rounded<gla, float>(problem<gla>({2, 50, 2, 4, 3}, c, 184));
  const auto out = gla::forward(in).out;
  prepared<gla, float> p(in, {});
  const auto map = run_map<float>(p.lib, {2, 2, 50, 50}, 1);
  tensor<double> applied(out.shape);
  for (int64 b = 0; b < 2; ++b)
    for (int64 h = 0; h < 2; ++h)
      for (int64 t = 0; t < 50; ++t)
        for (int64 s = 0; s <= t; ++s)
          for (int64 j = 0; j < 3; ++j) applied(b, t, h, j) += map(b, h, t, s) * in.v(b, s, h, j);
  EXPECT_LE(relative_rms(applied, out, 0, 0), 1e-6);
}

}  // namespace
