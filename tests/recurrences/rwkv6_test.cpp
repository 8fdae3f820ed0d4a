// rwkv6 against its definition: reads before the token's own gate, a bonus for its own key.
#include "complex_step.hpp"

namespace {

struct loops {
  static constexpr double scale = 0.5;

  template <class N>
  static plain::results<N> run(const plain::operands<N>& x) {
    using std::exp;
    plain::results<N> r;
    for (long b = 0; b < x.B; ++b) {
      std::vector<N> s(x.state.begin() + b * x.H * x.K * x.V,
                       x.state.begin() + (b + 1) * x.H * x.K * x.V);
      for (long t = 0; t < x.L; ++t)
        for (long h = 0; h < x.H; ++h)
          for (long j = 0; j < x.V; ++j) {
            N o = 0;
            const N v = x.at("v", {b, t, h, j});
            for (long i = 0; i < x.K; ++i) {
              N& e = s[static_cast<std::size_t>((h * x.K + i) * x.V + j)];
              const N kv = x.at("k", {b, t, h, i}) * v, w = x.at("w", {b, t, h, i});
              o += x.at("r", {b, t, h, i}) * (e + x.at("u", {h, i}) * kv);
              e = (plain::real(w) == -HUGE_VAL ? N(0) : exp(w) * e) + kv;
            }
            r.out.push_back(N(scale) * o);
          }
      r.state.insert(r.state.end(), s.begin(), s.end());
    }
    return r;
  }
};

plain::operands<double> problem(long B, long L, long H, long K, long V, bool resets,
                                unsigned seed) {
  plain::operands<double> x{B, L, H, K, V, {}, {}, {}};
  const auto make = [&](const char* name, gatescan::layout shape, double scale) {
    x.shapes[name] = shape;
    auto& n = x.numbers[name] = plain::normals(static_cast<std::size_t>(shape.size()), ++seed);
    for (double& e : n) e = static_cast<float>(scale * e);
  };
  for (const char* name : {"r", "k", "w"}) make(name, gatescan::layout{B, L, H, K}, 0.7);
  make("v", gatescan::layout{B, L, H, V}, 1), make("u", gatescan::layout{H, K}, 1);
  for (double& w : x.numbers["w"]) w = -std::abs(w);
  if (resets)
    for (std::size_t i = 0; i < x.numbers["w"].size(); i += 7) x.numbers["w"][i] = -HUGE_VAL;
  x.state = plain::normals(static_cast<std::size_t>(B * H * K * V), ++seed);
  for (double& e : x.state) e = static_cast<float>(e);
  return x;
}

template <class T>
void check(double forward, double backward) {
  for (const bool resets : {false, true})
    for (const auto& [L, K, V] : plain::lengths_keys_values) {
      const plain::expectation<loops, T> want(problem(1, L, 2, K, V, resets, 11));
      plain::in_each_mode<gatescan::rwkv6>([&, L = L, K = K](const auto& mode) {
        SCOPED_TRACE(::testing::Message()
                     << mode.name << " L " << L << " K " << K << " " << resets);
        plain::expect_agrees<gatescan::rwkv6>(want, mode, forward, backward,
                                              [](auto& in) { in.scale = loops::scale; });
      });
    }
}

TEST(rwkv6, is_its_definition_in_double) { check<double>(1e-13, 1e-12); }
TEST(rwkv6, is_its_definition_in_float) { check<float>(3e-6, 2e-5); }

}  // namespace
