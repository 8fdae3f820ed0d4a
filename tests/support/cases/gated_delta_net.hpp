// The gated delta rule: the outer product that takes away first what beta k reads of the state.
// Keys and queries may be divided by their length.
#pragma once

#include <cmath>

#include "../outer_product.hpp"
#include "../prologue.hpp"

namespace support::oracle {

template <class R>
struct gated_delta_net : prologue_of<outer_product<R>, gated_delta_net<R>> {
  struct inputs {
    tensor<R> q, k, v;        // [B, L, heads, K | K | V]
    tensor<R> beta;           // [B, L, heads]
    tensor<R> log_decay;      // [B, L, heads, K] or [B, L, heads, 1], optional
    tensor<R> initial_state;  // [n, H, K, V]
    std::vector<int64> sequence_offsets;
    double scale = 1, eps = 1e-6;
    bool normalise = false;
  };
  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("q", s.q...);
    f("k", s.k...);
    f("v", s.v...);
    f("beta", s.beta...);
    f("log_decay", s.log_decay...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void options(F f, S&... s) {
    f("scale", s.scale...);
    f("eps", s.eps...);
    f("normalise", s.normalise...);
  }

  static typename outer_product<R>::inputs core(const inputs& in) {
    const auto gate = in.log_decay.given()
                          ? exponentials(in.log_decay)
                          : tensor<R>({in.q.extent(0), in.q.extent(1), 1, 1}, R(1));
    typename outer_product<R>::inputs c{
        scaled(in.scale, in.normalise ? of_length_one(in, in.q) : in.q),
        in.normalise ? of_length_one(in, in.k) : in.k,
        in.v,
        gate,
        in.initial_state,
        in.sequence_offsets};
    const int64 B = in.q.extent(0), L = in.q.extent(1), K = in.q.extent(3), V = in.v.extent(3);
    const int64 H = std::max(c.heads(), in.beta.extent(2));
    c.p = tensor<R>({B, L, H, K});
    c.v = tensor<R>({B, L, H, V});
    for (int64 b = 0; b < B; ++b)
      for (int64 t = 0; t < L; ++t)
        for (int64 h = 0; h < H; ++h) {
          const R beta = of_head(in.beta, b, t, h, H);
          for (int64 i = 0; i < K; ++i) c.p(b, t, h, i) = beta * at(c.k, b, t, h, i, H);
          for (int64 j = 0; j < V; ++j) c.v(b, t, h, j) = beta * at(in.v, b, t, h, j, H);
        }
    return c;
  }

  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    const int64 H = c.heads();
    inputs g{scaled(in.scale, d.q),
             d.k,
             zeros_like(in.v),
             zeros_like(in.beta),
             in.log_decay.given() ? through_exponentials(c.a, d.a) : tensor<R>(),
             d.initial_state,
             {},
             in.scale,
             in.eps,
             in.normalise};
    for (int64 b = 0; b < c.p.extent(0); ++b)
      for (int64 t = 0; t < c.p.extent(1); ++t)
        for (int64 h = 0; h < H; ++h) {
          const R beta = of_head(in.beta, b, t, h, H);
          R& d_beta = of_head(g.beta, b, t, h, H);
          for (int64 i = 0; i < c.p.extent(3); ++i) {  // p = beta k
            d_beta += d.p(b, t, h, i) * at(c.k, b, t, h, i, H);
            at(g.k, b, t, h, i, H) += d.p(b, t, h, i) * beta;
          }
          for (int64 j = 0; j < c.v.extent(3); ++j) {  // the value is beta v
            d_beta += d.v(b, t, h, j) * at(in.v, b, t, h, j, H);
            at(g.v, b, t, h, j, H) += d.v(b, t, h, j) * beta;
          }
        }
    if (in.normalise) {
      lengths_adjoint(in, in.q, g.q);
      lengths_adjoint(in, in.k, g.k);
    }
    return g;
  }

 private:
  template <class T>
  static auto& of_head(T& beta, int64 b, int64 t, int64 h, int64 all_heads) {
    return beta(b, t, h / (all_heads / beta.extent(2)));
  }

  // f(b, t, h, sqrt(|x|^2 + eps)) for every row of x
  template <class F>
  static void each_length(const inputs& in, const tensor<R>& x, F f) {
    for (int64 b = 0; b < x.extent(0); ++b)
      for (int64 t = 0; t < x.extent(1); ++t)
        for (int64 h = 0; h < x.extent(2); ++h) {
          R sum(in.eps);
          for (int64 i = 0; i < x.extent(3); ++i) sum += x(b, t, h, i) * x(b, t, h, i);
          using std::sqrt;
          f(b, t, h, R(sqrt(sum)));
        }
  }
  static tensor<R> of_length_one(const inputs& in, tensor<R> x) {
    const tensor<R> given = x;
    each_length(in, given, [&](int64 b, int64 t, int64 h, const R& length) {
      for (int64 i = 0; i < x.extent(3); ++i) x(b, t, h, i) = x(b, t, h, i) / length;
    });
    return x;
  }
  // d of x / |x| to d of x: (d - x (x . d) / |x|^2) / |x|
  static void lengths_adjoint(const inputs& in, const tensor<R>& x, tensor<R>& d) {
    each_length(in, x, [&](int64 b, int64 t, int64 h, const R& length) {
      R along{};
      for (int64 i = 0; i < x.extent(3); ++i) along += x(b, t, h, i) * d(b, t, h, i);
      for (int64 i = 0; i < x.extent(3); ++i)
        d(b, t, h, i) = (d(b, t, h, i) - x(b, t, h, i) * along / (length * length)) / length;
    });
  }
};

}  // namespace support::oracle

namespace support {

using gated_delta_net = oracle::gated_delta_net<double>;

template <>
struct case_of<gated_delta_net> {
  using recurrence = gatescan::gated_delta_net;
  static constexpr option_switch switches[] = {
      {"gate", true},        // log_decay
      {"head_gate", false},  // [B, L, H, 1]
      {"normalise", false},
  };
  // Keys of length at most 1, and beta up to 2, so that no state grows.
  static void make(gated_delta_net::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents grouped{n.B, n.L, n.H / c.group, n.K};
    in.q = g.normals({n.B, n.L, n.H, n.K});
    in.k = g.normals(grouped);
    in.normalise = c.is("normalise");
    in.eps = 0.5;  // with one key x / |x| has a slope too
    if (!in.normalise) {
      for (std::size_t row = 0; row < in.k.data.size(); row += static_cast<std::size_t>(n.K)) {
        double square = 0;
        for (std::size_t i = row; i < row + static_cast<std::size_t>(n.K); ++i)
          square += in.k.data[i] * in.k.data[i];
        const double length = g.uniform(0.5, 1) / std::sqrt(square);
        for (std::size_t i = row; i < row + static_cast<std::size_t>(n.K); ++i)
          in.k.data[i] *= length;
      }
    }
    in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
    in.beta = g.uniforms({n.B, n.L, n.H}, 0, 2);
    if (c.is("gate"))
      in.log_decay = g.log_gates({n.B, n.L, n.H, c.is("head_gate") ? 1 : n.K}, c.gate);
    in.initial_state = random_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.375;
  }
  // Keys of one number +-1: what a token does to the state is then exact, and no state grows.
  static void make_exact(gated_delta_net::inputs& in, const sizes& n, const options& c,
                         generator& g) {
    const auto one_hot = [&](int64 heads) {
      tensor<double> x({n.B, n.L, heads, n.K});
      for (int64 b = 0; b < n.B; ++b)
        for (int64 t = 0; t < n.L; ++t)
          for (int64 h = 0; h < heads; ++h) x(b, t, h, g.below(n.K)) = g.coin() ? 1 : -1;
      return x;
    };
    in.normalise = c.is("normalise");
    in.eps = 0;
    in.q = in.normalise ? one_hot(n.H) : integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.k = one_hot(n.H / c.group);
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.beta = integers(g, {n.B, n.L, n.H / c.group}, 1);
    for (double& beta : in.beta.data) beta += 1;
    if (c.is("gate"))
      in.log_decay = zero_or_reset(g, {n.B, n.L, n.H / c.group, c.is("head_gate") ? 1 : n.K});
    in.initial_state = exact_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.5;
  }
};

}  // namespace support
