// mamba2 against its definition: one gate a head from the step size, B and C of fewer heads, skip
// term, output gate, softplus and limits of the step.
#include "complex_step.hpp"

namespace {

template <bool Softplus>
struct loops {
  static constexpr double least = 0.05, most = 1.5;

  template <class N>
  static plain::results<N> run(const plain::operands<N>& x) {
    using std::exp, std::log;
    plain::results<N> r;
    for (long b = 0; b < x.B; ++b) {
      std::vector<N> s(x.state.begin() + b * x.H * x.K * x.V,
                       x.state.begin() + (b + 1) * x.H * x.K * x.V);
      for (long t = 0; t < x.L; ++t)
        for (long h = 0; h < x.H; ++h) {
          N step = x.at("dt", {b, t, h});
          if (x.has("dt_bias")) step += x.at("dt_bias", {h});
          if (Softplus) step = log(N(1) + exp(step));
          if (plain::real(step) < least) step = least;
          if (plain::real(step) > most) step = most;
          const N exponent = step * x.at("A", {h});
          const bool reset = plain::real(exponent) == -HUGE_VAL;
          for (long j = 0; j < x.V; ++j) {
            const N u = x.at("x", {b, t, h, j});
            N o = 0;
            for (long i = 0; i < x.K; ++i) {
              N& e = s[static_cast<std::size_t>((h * x.K + i) * x.V + j)];
              e = (reset ? N(0) : exp(exponent) * e) + x.at("B", {b, t, h, i}) * step * u;
              o += x.at("C", {b, t, h, i}) * e;
            }
            if (x.has("D")) o += x.at("D", {h, j}) * u;
            if (x.has("z")) {
              const N z = x.at("z", {b, t, h, j});
              o *= z / (N(1) + exp(-z));
            }
            r.out.push_back(o);
          }
        }
      r.state.insert(r.state.end(), s.begin(), s.end());
    }
    return r;
  }
};

plain::operands<double> problem(long B, long L, long H, long G, long K, long V, int given,
                                unsigned seed) {
  plain::operands<double> x{B, L, H, K, V, {}, {}, {}};
  const auto make = [&](const char* name, gatescan::layout shape, double scale) {
    x.shapes[name] = shape;
    auto& n = x.numbers[name] = plain::normals(static_cast<std::size_t>(shape.size()), ++seed);
    for (double& e : n) e = static_cast<float>(scale * e);
  };
  make("x", gatescan::layout{B, L, H, V}, 1), make("dt", gatescan::layout{B, L, H}, 1);
  make("A", gatescan::layout{H}, 1);
  make("B", gatescan::layout{B, L, G, K}, 1), make("C", gatescan::layout{B, L, G, K}, 1);
  for (double& a : x.numbers["A"]) a = -std::abs(a);
  if (given & 1) make("D", gatescan::layout{H, 1}, 1);
  if (given & 2) make("D", gatescan::layout{H, V}, 1);
  if (given & 4) make("z", gatescan::layout{B, L, H, V}, 1);
  if (given & 8) make("dt_bias", gatescan::layout{H}, 0.5);
  x.state = plain::normals(static_cast<std::size_t>(B * H * K * V), ++seed);
  for (double& e : x.state) e = static_cast<float>(e);
  return x;
}

template <class T, bool Softplus>
void check(double forward, double backward) {
  for (const int given : {0, 2, 13})
    for (const auto& [L, K, V] : plain::lengths_keys_values) {
      const gatescan::index_t groups = L == 5 ? 1 : L == 21 ? 4 : 2;
      const plain::expectation<loops<Softplus>, T> want(problem(1, L, 4, groups, K, V, given, 5));
      plain::in_each_mode<gatescan::mamba2>([&, L = L, K = K](const auto& mode) {
        SCOPED_TRACE(::testing::Message() << mode.name << " L " << L << " K " << K << " groups "
                                          << groups << " given " << given);
        plain::expect_agrees<gatescan::mamba2>(want, mode, forward, backward, [](auto& in) {
          in.softplus = Softplus;
          in.least_dt = loops<Softplus>::least, in.most_dt = loops<Softplus>::most;
        });
      });
    }
}

TEST(mamba2, is_its_definition_in_double) { check<double, true>(1e-13, 1e-12); }
TEST(mamba2, is_its_definition_in_float) { check<float, true>(3e-6, 3e-5); }
TEST(mamba2, takes_steps_as_they_are) { check<double, false>(1e-13, 1e-12); }

// A = -inf forgets everything, Inf and NaN before it included.
TEST(mamba2, resets) {
  const float huge = HUGE_VALF, one = 1;
  const float x[2] = {huge, 1}, dt[2] = {1, 1}, A = -huge, b[2] = {1, 1};
  float out[2] = {};
  const gatescan::layout tokens{1, 2, 1, 1};
  for (const int chunk : {1, 16}) {
    gatescan::forward(gatescan::cpu{}, gatescan::chunked{chunk},
                      gatescan::mamba2::inputs<float>{.x = {x, tokens},
                                                      .dt = {dt, {1, 2, 1}},
                                                      .A = {&A, {1}},
                                                      .B = {b, tokens},
                                                      .C = {b, tokens}},
                      {.out = {out, tokens}});
    EXPECT_EQ(out[0], huge);
    EXPECT_EQ(out[1], one);
  }
}

}  // namespace
