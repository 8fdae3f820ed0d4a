// gated_delta_net against its definition, with a gate a key, a gate a head and none, normalised and
// not.
#include "complex_step.hpp"

namespace {

template <bool Normalise>
struct loops {
  static constexpr double scale = 0.5, eps = 1e-6;

  template <class N>
  static plain::results<N> run(const plain::operands<N>& x) {
    using std::exp, std::sqrt;
    plain::results<N> r;
    for (long b = 0; b < x.B; ++b) {
      std::vector<N> s(x.state.begin() + b * x.H * x.K * x.V,
                       x.state.begin() + (b + 1) * x.H * x.K * x.V);
      for (long t = 0; t < x.L; ++t)
        for (long h = 0; h < x.H; ++h) {
          const auto row = [&](const char* name) {
            std::vector<N> k;
            N square = eps;
            for (long i = 0; i < x.K; ++i)
              k.push_back(x.at(name, {b, t, h, i})), square += k.back() * k.back();
            if (Normalise)
              for (N& e : k) e = e / sqrt(square);
            return k;
          };
          const std::vector<N> q = row("q"), k = row("k");
          const N beta = x.at("beta", {b, t, h});
          for (long j = 0; j < x.V; ++j) {
            const auto at = [&](long i) -> N& {
              return s[static_cast<std::size_t>((h * x.K + i) * x.V + j)];
            };
            N stored = 0, o = 0;
            for (long i = 0; i < x.K; ++i) {
              if (x.has("log_decay")) {
                const N w = x.at("log_decay", {b, t, h, i});
                at(i) = plain::real(w) == -HUGE_VAL ? N(0) : exp(w) * at(i);
              }
              stored += k[static_cast<std::size_t>(i)] * at(i);
            }
            const N u = beta * (x.at("v", {b, t, h, j}) - stored);
            for (long i = 0; i < x.K; ++i) {
              at(i) += k[static_cast<std::size_t>(i)] * u;
              o += q[static_cast<std::size_t>(i)] * at(i);
            }
            r.out.push_back(N(scale) * o);
          }
        }
      r.state.insert(r.state.end(), s.begin(), s.end());
    }
    return r;
  }
};

enum class gates { none, of_heads, of_keys };

plain::operands<double> problem(long B, long L, long H, long K, long V, gates kind, bool resets,
                                unsigned seed) {
  plain::operands<double> x{B, L, H, K, V, {}, {}, {}};
  const auto make = [&](const char* name, gatescan::layout shape, double scale) {
    x.shapes[name] = shape;
    auto& n = x.numbers[name] = plain::normals(static_cast<std::size_t>(shape.size()), ++seed);
    for (double& e : n) e = static_cast<float>(scale * e);
  };
  const double length = 1 / std::sqrt(static_cast<double>(K));
  make("q", gatescan::layout{B, L, H, K}, 1), make("k", gatescan::layout{B, L, H, K}, length);
  make("v", gatescan::layout{B, L, H, V}, 1), make("beta", gatescan::layout{B, L, H}, 1);
  for (double& e : x.numbers["beta"]) e = static_cast<float>(2 / (1 + std::exp(-e)));
  if (kind != gates::none) {
    make("log_decay", gatescan::layout{B, L, H, kind == gates::of_keys ? K : 1}, 0.5);
    auto& w = x.numbers["log_decay"];
    for (double& e : w) e = -std::abs(e);
    if (resets)
      for (std::size_t i = 2; i < w.size(); i += 5) w[i] = -HUGE_VAL;
  }
  x.state = plain::normals(static_cast<std::size_t>(B * H * K * V), ++seed);
  for (double& e : x.state) e = static_cast<float>(e);
  return x;
}

template <class T, bool Normalise>
void check(double forward, double backward) {
  for (const gates kind : {gates::none, gates::of_heads, gates::of_keys})
    for (const bool resets :
         kind == gates::none ? std::vector<bool>{false} : std::vector<bool>{false, true})
      for (const auto& [L, K, V] : plain::lengths_keys_values) {
        if (Normalise && K == 1) continue;  // +-1 whatever the number is: a gradient of roundings
        const plain::expectation<loops<Normalise>, T> want(problem(1, L, 2, K, V, kind, resets, 3));
        plain::in_each_mode<gatescan::gated_delta_net>([&, L = L, K = K](const auto& mode) {
          SCOPED_TRACE(::testing::Message() << mode.name << " L " << L << " K " << K << " gates "
                                            << static_cast<int>(kind) << " resets " << resets);
          plain::expect_agrees<gatescan::gated_delta_net>(want, mode, forward, backward,
                                                          [](auto& in) {
                                                            in.scale = loops<Normalise>::scale;
                                                            in.normalise = Normalise;
                                                          });
        });
      }
}

TEST(gated_delta_net, is_its_definition_in_double) { check<double, false>(1e-13, 1e-12); }
TEST(gated_delta_net, is_its_definition_in_float) { check<float, false>(5e-6, 3e-5); }
TEST(gated_delta_net, normalises_keys_in_double) { check<double, true>(1e-13, 1e-12); }
TEST(gated_delta_net, normalises_keys_in_float) { check<float, true>(5e-6, 3e-5); }

}  // namespace
