// Mamba-2: the outer product of B and s x with one gate a head, a = exp(s A), and its epilogue:
//   s = softplus?(dt + dt_bias), clamped,  out = (o + D x) silu(z)
#pragma once

#include <cmath>
#include <limits>

#include "../outer_product.hpp"
#include "../prologue.hpp"
#include "../step_size.hpp"

namespace support::oracle {

template <class R>
struct mamba2 : prologue_of<outer_product<R>, mamba2<R>> {
  struct inputs {
    tensor<R> x, dt;          // [B, L, H, P], [B, L, H]
    tensor<R> A;              // [H]
    tensor<R> B, C;           // [B, L, G, N]
    tensor<R> D, z, dt_bias;  // [H, P] or [H, 1], [B, L, H, P], [H], each optional
    tensor<R> initial_state;  // [n, H, N, P]
    std::vector<int64> sequence_offsets;
    bool softplus = false;
    double least_dt = 0, most_dt = std::numeric_limits<double>::infinity();
  };
  using base = prologue_of<outer_product<R>, mamba2<R>>;
  using typename base::outputs;

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("x", s.x...);
    f("dt", s.dt...);
    f("A", s.A...);
    f("B", s.B...);
    f("C", s.C...);
    f("D", s.D...);
    f("z", s.z...);
    f("dt_bias", s.dt_bias...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void options(F f, S&... s) {
    f("softplus", s.softplus...);
    f("least_dt", s.least_dt...);
    f("most_dt", s.most_dt...);
  }

  static typename outer_product<R>::inputs core(const inputs& in) {
    typename outer_product<R>::inputs c{
        in.C,
        in.B,
        in.x,
        tensor<R>({in.dt.extent(0), in.dt.extent(1), in.dt.extent(2), 1}),
        in.initial_state,
        in.sequence_offsets};
    for (int64 b = 0; b < in.dt.extent(0); ++b)
      for (int64 t = 0; t < in.dt.extent(1); ++t)
        for (int64 h = 0; h < in.dt.extent(2); ++h) {
          using std::exp;
          const R s = step(in, b, t, h);
          c.a(b, t, h, 0) = exp(s * in.A(h));
          for (int64 j = 0; j < in.x.extent(3); ++j) c.v(b, t, h, j) = s * in.x(b, t, h, j);
        }
    return c;
  }

  static outputs forward(const inputs& in) {
    outputs r = base::forward(in);
    each_place(in.x.shape, [&](int64 b, int64 t, int64 h, int64 j) {
      R& o = r.out(b, t, h, j);
      if (in.D.given()) o += skip(in.D, h, j) * in.x(b, t, h, j);
      if (in.z.given()) o = o * silu(in.z(b, t, h, j));
    });
    return r;
  }

  static inputs backward(const inputs& in, const outputs& dout) {
    const auto c = core(in);
    inputs g{zeros_like(in.x),
             zeros_like(in.dt),
             zeros_like(in.A),
             {},
             {},
             zeros_like(in.D),
             zeros_like(in.z),
             zeros_like(in.dt_bias),
             {},
             {},
             in.softplus,
             in.least_dt,
             in.most_dt};
    outputs d_o = dout;  // of o: before D, and z
    if (dout.out.given()) {
      const auto o = outer_product<R>::forward(c).out;
      each_place(in.x.shape, [&](int64 b, int64 t, int64 h, int64 j) {
        const R x = in.x(b, t, h, j);
        R& dy = d_o.out(b, t, h, j);
        if (in.z.given()) {
          const R z = in.z(b, t, h, j);
          const R y = in.D.given() ? o(b, t, h, j) + skip(in.D, h, j) * x : o(b, t, h, j);
          g.z(b, t, h, j) = dy * y * silu_slope(z);
          dy = dy * silu(z);
        }
        if (in.D.given()) {
          skip(g.D, h, j) += dy * x;
          g.x(b, t, h, j) += dy * skip(in.D, h, j);
        }
      });
    }
    const auto d = outer_product<R>::backward(c, d_o);
    g.B = d.k, g.C = d.q, g.initial_state = d.initial_state;
    for (int64 b = 0; b < in.dt.extent(0); ++b)
      for (int64 t = 0; t < in.dt.extent(1); ++t)
        for (int64 h = 0; h < in.dt.extent(2); ++h) {
          const R s = step(in, b, t, h), a = c.a(b, t, h, 0);
          const R d_log = keep(a, d.a(b, t, h, 0));  // of log a = s A
          R ds{};
          for (int64 j = 0; j < in.x.extent(3); ++j) {
            ds += d.v(b, t, h, j) * in.x(b, t, h, j);
            g.x(b, t, h, j) += d.v(b, t, h, j) * s;
          }
          if (!(a == R{})) {
            g.A(h) += d_log * s;
            ds += d_log * in.A(h);
          }
          const R free = unlimited(in, b, t, h);
          if (free < R(in.least_dt) || R(in.most_dt) < free) continue;
          if (in.softplus) ds = ds * sigmoid(raw_step(in, b, t, h));
          g.dt(b, t, h) += ds;
          if (in.dt_bias.given()) g.dt_bias(h) += ds;
        }
    return g;
  }

 private:
  template <class T>
  static auto& skip(T& D, int64 h, int64 j) {
    return D(h, std::min(j, D.extent(1) - 1));
  }
  static R raw_step(const inputs& in, int64 b, int64 t, int64 h) {
    return in.dt_bias.given() ? in.dt(b, t, h) + in.dt_bias(h) : in.dt(b, t, h);
  }
  static R unlimited(const inputs& in, int64 b, int64 t, int64 h) {
    const R raw = raw_step(in, b, t, h);
    return in.softplus ? softplus(raw) : raw;
  }
  static R step(const inputs& in, int64 b, int64 t, int64 h) {
    const R s = unlimited(in, b, t, h);
    if (s < R(in.least_dt)) return R(in.least_dt);
    if (R(in.most_dt) < s) return R(in.most_dt);
    return s;
  }
};

}  // namespace support::oracle

namespace support {

using mamba2 = oracle::mamba2<double>;

template <>
struct case_of<mamba2> {
  using recurrence = gatescan::mamba2;
  static constexpr option_switch switches[] = {
      {"D", true}, {"D_a_value", false},  // [H, P], or [H, 1]
      {"z", true}, {"dt_bias", true},    {"softplus", true}, {"limits", false},
  };
  // states are K, values V; B and C come in H / group groups
  static void make(mamba2::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents values{n.B, n.L, n.H, n.V}, heads{n.B, n.L, n.H};
    const extents grouped{n.B, n.L, n.H / c.group, n.K};
    in.x = g.normals(values);
    in.softplus = c.is("softplus");
    in.dt = in.softplus ? g.uniforms(heads, -3, 2) : g.uniforms(heads, 0.05, 1);
    if (c.is("limits")) in.least_dt = 0.25, in.most_dt = 0.75;
    in.A = tensor<double>({n.H});
    for (double& a : in.A.data) a = c.gate == gates::one ? 0 : 2 * g.log_gate(c.gate);
    in.B = g.normals(grouped);
    in.C = g.normals(grouped);
    if (c.is("D")) in.D = g.normals({n.H, c.is("D_a_value") ? n.V : 1});
    if (c.is("z")) in.z = g.normals(values);
    if (c.is("dt_bias")) in.dt_bias = g.uniforms({n.H}, 0.01, 0.5);
    in.initial_state = random_state(c, g, matrix_state_shape(n, c));
  }
  static void make_exact(mamba2::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents grouped{n.B, n.L, n.H / c.group, n.K};
    in.x = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.dt = integers(g, {n.B, n.L, n.H}, 1);
    for (double& s : in.dt.data) s += 3;  // never 0: 0 times an A of -inf is no gate
    if (c.is("limits")) in.most_dt = 3;
    in.A = zero_or_reset(g, {n.H});
    in.B = integers(g, grouped, 2);
    in.C = integers(g, grouped, 2);
    if (c.is("D")) in.D = integers(g, {n.H, c.is("D_a_value") ? n.V : 1}, 2);
    if (c.is("dt_bias")) in.dt_bias = integers(g, {n.H}, 1);
    in.initial_state = exact_state(c, g, matrix_state_shape(n, c));
  }
};

}  // namespace support
