// RWKV-6: the outer product read before a token's own gate, its own key through a bonus u.
#pragma once

#include <cmath>

#include "../outer_product.hpp"
#include "../problem.hpp"

namespace support::oracle {

template <class R>
struct rwkv6 {
  struct inputs {
    tensor<R> r, k, w;        // [B, L, heads, K]; w: the logarithm of the gate
    tensor<R> v;              // [B, L, heads, V]
    tensor<R> u;              // [heads, K]
    tensor<R> initial_state;  // [n, H, K, V]
    std::vector<int64> sequence_offsets;
    double scale = 1;
  };
  using outputs = typename outer_product<R>::outputs;

  // f(name, operand of each structure...) for every operand, and for every result
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("r", s.r...);
    f("k", s.k...);
    f("w", s.w...);
    f("v", s.v...);
    f("u", s.u...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void results(F f, S&... s) {
    f("out", s.out...);
    f("final_state", s.final_state...);
  }

  template <class F, class... S>
  static void options(F f, S&... s) {
    f("scale", s.scale...);
  }

  static outputs blank(const inputs& in) { return outer_product<R>::blank(core(in)); }
  static outputs forward(const inputs& in) {
    outputs r = outer_product<R>::forward(core(in));
    for (R& o : r.out.data) o = R(in.scale) * o;
    return r;
  }

  static inputs backward(const inputs& in, outputs dout) {
    for (R& o : dout.out.data) o = R(in.scale) * o;
    const auto c = core(in);
    const auto d = outer_product<R>::backward(c, dout);
    inputs g{d.q, d.k, d.a, d.v, zeros_like(in.u), d.initial_state, {}, in.scale};
    for (std::size_t n = 0; n < g.w.data.size(); ++n) g.w.data[n] = keep(c.a.data[n], d.a.data[n]);
    each_own(c, [&](int64 b, int64 t, int64 h, int64 i) {  // own = u k
      const R own = d.own(b, t, h, i);
      at(g.k, b, t, h, i, c.heads()) += of_head(in.u, h, i, c.heads()) * own;
      of_head(g.u, h, i, c.heads()) += at(in.k, b, t, h, i, c.heads()) * own;
    });
    return g;
  }

 private:
  template <class T>
  static auto& of_head(T& u, int64 h, int64 i, int64 all_heads) {
    return u(h / (all_heads / u.extent(0)), i);
  }
  template <class F>
  static void each_own(const typename outer_product<R>::inputs& c, F f) {
    for (int64 b = 0; b < c.own.extent(0); ++b)
      for (int64 t = 0; t < c.own.extent(1); ++t)
        for (int64 h = 0; h < c.own.extent(2); ++h)
          for (int64 i = 0; i < c.own.extent(3); ++i) f(b, t, h, i);
  }

  static typename outer_product<R>::inputs core(const inputs& in) {
    const auto gate = in.w.map([](const R& w) -> R {
      using std::exp;
      return exp(w);
    });
    typename outer_product<R>::inputs c{
        in.r, in.k, in.v, gate, in.initial_state, in.sequence_offsets};
    const int64 H = c.heads();
    c.own = tensor<R>({in.r.extent(0), in.r.extent(1), H, in.r.extent(3)});
    each_own(c, [&](int64 b, int64 t, int64 h, int64 i) {
      c.own(b, t, h, i) = of_head(in.u, h, i, H) * at(in.k, b, t, h, i, H);
    });
    return c;
  }
};

}  // namespace support::oracle

namespace support {

using rwkv6 = oracle::rwkv6<double>;

template <>
struct case_of<rwkv6> {
  using recurrence = gatescan::rwkv6;
  static constexpr std::array<option_switch, 0> switches{};
  static void make(rwkv6::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents grouped{n.B, n.L, n.H / c.group, n.K};
    in.r = g.normals({n.B, n.L, n.H, n.K});
    in.k = g.normals(grouped);
    in.w = g.log_gates({n.B, n.L, n.H, n.K}, c.gate);
    in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
    in.u = g.normals({n.H, n.K});
    if (c.initial_state) in.initial_state = g.normals({sequence_count(n, c), n.H, n.K, n.V});
    in.scale = 0.375;
  }
  static void make_exact(rwkv6::inputs& in, const sizes& n, const options& c, generator& g) {
    in.r = integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.k = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
    in.w = zero_or_reset(g, {n.B, n.L, n.H / c.group, n.K});
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.u = integers(g, {n.H / c.group, n.K}, 2);
    if (c.initial_state) in.initial_state = integers(g, {sequence_count(n, c), n.H, n.K, n.V}, 2);
    in.scale = 0.5;
  }
};

}  // namespace support
