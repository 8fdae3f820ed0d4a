// Selective scan (Mamba-1), channel by channel and state by state:
//   w = softplus?(delta + delta_bias),  h_t = exp(w A) h_{t-1} + w B u,
//   y = C h + D u,  out = y silu(z)
#pragma once

#include <cmath>

#include "../plain_loops.hpp"
#include "../problem.hpp"
#include "../step_size.hpp"

namespace support::oracle {

template <class R>
struct selective_scan {
  struct inputs {
    tensor<R> u, delta;          // [B, L, D]
    tensor<R> A;                 // [D, N]
    tensor<R> B, C;              // [B, L, G, N]
    tensor<R> D, z, delta_bias;  // [D], [B, L, D], [D], each optional
    tensor<R> initial_state;     // [n, D, N]
    std::vector<int64> sequence_offsets;
    bool softplus = false;
  };
  struct outputs {
    tensor<R> out;          // [B, L, D]
    tensor<R> final_state;  // [n, D, N]
  };

  // f(name, operand of each structure...) for every operand, and for every result
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("u", s.u...);
    f("delta", s.delta...);
    f("A", s.A...);
    f("B", s.B...);
    f("C", s.C...);
    f("D", s.D...);
    f("z", s.z...);
    f("delta_bias", s.delta_bias...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void results(F f, S&... s) {
    f("out", s.out...);
    f("final_state", s.final_state...);
  }

  template <class F, class... S>
  static void options(F f, S&... s) {
    f("softplus", s.softplus...);
  }

  // zeros in the shapes of the results
  static outputs blank(const inputs& in) {
    const int64 n = state_count(in.u.extent(0), in.sequence_offsets);
    return {tensor<R>(in.u.shape), tensor<R>({n, in.u.extent(2), in.A.extent(1)})};
  }

  static outputs forward(const inputs& in) {
    const int64 D = in.u.extent(2), N = in.A.extent(1);
    outputs r = blank(in);
    for (const sequence& s : sequences(in.u.extent(0), in.u.extent(1), in.sequence_offsets))
      for (int64 d = 0; d < D; ++d) {
        std::vector<R> h = first_state(in, s, d);
        for (int64 t = s.begin; t < s.end; ++t) {
          h = next_state(in, s.batch, t, d, h);
          const R y = readout(in, s.batch, t, d, h);
          r.out(s.batch, t, d) = in.z.given() ? y * silu(in.z(s.batch, t, d)) : y;
        }
        for (int64 n = 0; n < N; ++n) r.final_state(s.state, d, n) = h[static_cast<std::size_t>(n)];
      }
    return r;
  }

  static inputs backward(const inputs& in, const outputs& dout) {
    const int64 D = in.u.extent(2), N = in.A.extent(1);
    inputs g{zeros_like(in.u),
             zeros_like(in.delta),
             zeros_like(in.A),
             zeros_like(in.B),
             zeros_like(in.C),
             zeros_like(in.D),
             zeros_like(in.z),
             zeros_like(in.delta_bias),
             blank(in).final_state,
             {},
             in.softplus};
    for (const sequence& s : sequences(in.u.extent(0), in.u.extent(1), in.sequence_offsets))
      for (int64 d = 0; d < D; ++d) {
        std::vector<std::vector<R>> h{first_state(in, s, d)};
        for (int64 t = s.begin; t < s.end; ++t)
          h.push_back(next_state(in, s.batch, t, d, h.back()));
        std::vector<R> G(static_cast<std::size_t>(N));
        if (dout.final_state.given())
          for (int64 n = 0; n < N; ++n)
            G[static_cast<std::size_t>(n)] = dout.final_state(s.state, d, n);
        for (int64 t = s.end - 1; t >= s.begin; --t) {
          const auto i = static_cast<std::size_t>(t - s.begin);
          token_adjoint(in, dout, s.batch, t, d, h[i], h[i + 1], G, g);
        }
        for (int64 n = 0; n < N; ++n)
          g.initial_state(s.state, d, n) = G[static_cast<std::size_t>(n)];
      }
    return g;
  }

 private:
  static int64 group(const tensor<R>& x, const inputs& in, int64 d) {
    return d / (in.u.extent(2) / x.extent(2));
  }

  static R raw_step(const inputs& in, int64 b, int64 t, int64 d) {
    return in.delta_bias.given() ? in.delta(b, t, d) + in.delta_bias(d) : in.delta(b, t, d);
  }
  static R step(const inputs& in, int64 b, int64 t, int64 d) {
    const R raw = raw_step(in, b, t, d);
    return in.softplus ? softplus(raw) : raw;
  }

  static std::vector<R> first_state(const inputs& in, const sequence& s, int64 d) {
    std::vector<R> h(static_cast<std::size_t>(in.A.extent(1)));
    if (in.initial_state.given())
      for (std::size_t n = 0; n < h.size(); ++n)
        h[n] = in.initial_state(s.state, d, static_cast<int64>(n));
    return h;
  }

  static std::vector<R> next_state(const inputs& in, int64 b, int64 t, int64 d, std::vector<R> h) {
    using std::exp;
    const R w = step(in, b, t, d);
    for (std::size_t i = 0; i < h.size(); ++i) {
      const auto n = static_cast<int64>(i);
      h[i] = keep(R(exp(w * in.A(d, n))), h[i]) +
             w * in.B(b, t, group(in.B, in, d), n) * in.u(b, t, d);
    }
    return h;
  }

  static R readout(const inputs& in, int64 b, int64 t, int64 d, const std::vector<R>& h) {
    R y{};
    for (std::size_t n = 0; n < h.size(); ++n)
      y += in.C(b, t, group(in.C, in, d), static_cast<int64>(n)) * h[n];
    return in.D.given() ? y + in.D(d) * in.u(b, t, d) : y;
  }

  static void token_adjoint(const inputs& in, const outputs& dout, int64 b, int64 t, int64 d,
                            const std::vector<R>& before, const std::vector<R>& after,
                            std::vector<R>& G, inputs& g) {
    using std::exp;
    R dy = dout.out.given() ? dout.out(b, t, d) : R{};
    if (in.z.given()) {
      const R z = in.z(b, t, d);
      g.z(b, t, d) += dy * readout(in, b, t, d, after) * silu_slope(z);
      dy = dy * silu(z);
    }
    const R u = in.u(b, t, d), w = step(in, b, t, d);
    if (in.D.given()) {
      g.D(d) += dy * u;
      g.u(b, t, d) += dy * in.D(d);
    }
    R dw{};
    for (std::size_t i = 0; i < G.size(); ++i) {
      const auto n = static_cast<int64>(i);
      const R Bn = in.B(b, t, group(in.B, in, d), n), Cn = in.C(b, t, group(in.C, in, d), n);
      const R a = exp(w * in.A(d, n));
      g.C(b, t, group(in.C, in, d), n) += dy * after[i];
      G[i] += dy * Cn;
      g.B(b, t, group(in.B, in, d), n) += G[i] * w * u;
      g.u(b, t, d) += G[i] * w * Bn;
      dw += G[i] * Bn * u;
      const R flow = keep(a, G[i] * before[i]);  // gradient of log a = w A
      if (!(a == R{})) {
        g.A(d, n) += flow * w;
        dw += flow * in.A(d, n);
      }
      G[i] = keep(a, G[i]);
    }
    if (in.softplus) dw = dw * sigmoid(raw_step(in, b, t, d));
    g.delta(b, t, d) += dw;
    if (in.delta_bias.given()) g.delta_bias(d) += dw;
  }
};

}  // namespace support::oracle

namespace support {

using selective_scan = oracle::selective_scan<double>;

template <>
struct case_of<selective_scan> {
  using recurrence = gatescan::selective_scan;
  static constexpr option_switch switches[] = {
      {"D", true},
      {"z", true},
      {"delta_bias", true},
      {"softplus", true},
  };
  // channels are H, states K; B and C come in H / group groups
  static void make(selective_scan::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents tokens{n.B, n.L, n.H}, grouped{n.B, n.L, n.H / c.group, n.K};
    in.u = g.normals(tokens);
    in.softplus = c.is("softplus");
    in.delta = c.is("softplus") ? g.uniforms(tokens, -3, 2) : g.uniforms(tokens, 0.05, 1);
    in.A = tensor<double>({n.H, n.K});
    for (double& a : in.A.data) a = c.gate == gates::one ? 0 : 2 * g.log_gate(c.gate);
    in.B = g.normals(grouped);
    in.C = g.normals(grouped);
    if (c.is("D")) in.D = g.normals({n.H});
    if (c.is("z")) in.z = g.normals(tokens);
    if (c.is("delta_bias")) in.delta_bias = g.uniforms({n.H}, 0.01, 0.5);
    if (c.initial_state) in.initial_state = g.normals({sequence_count(n, c), n.H, n.K});
  }
  static void make_exact(selective_scan::inputs& in, const sizes& n, const options& c,
                         generator& g) {
    in.u = integers(g, {n.B, n.L, n.H}, 2);
    in.delta = integers(g, {n.B, n.L, n.H}, 1);
    for (double& x : in.delta.data) x += 3;  // never 0: 0 times an A of -inf is no gate
    in.A = zero_or_reset(g, {n.H, n.K});
    in.B = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
    in.C = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
    if (c.is("D")) in.D = integers(g, {n.H}, 2);
    if (c.is("delta_bias")) in.delta_bias = integers(g, {n.H}, 1);
    if (c.initial_state) in.initial_state = integers(g, {sequence_count(n, c), n.H, n.K}, 2);
  }
};

}  // namespace support
