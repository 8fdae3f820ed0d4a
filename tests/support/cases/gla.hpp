// GLA: the outer product with real gates exp(log_decay); out is scaled.
#pragma once

#include <cmath>

#include "../outer_product.hpp"
#include "../problem.hpp"

namespace support::oracle {

template <class R>
struct gla {
  struct inputs {
    tensor<R> q, k, v;        // [B, L, heads, K | K | V]
    tensor<R> log_decay;      // [B, L, heads, K] or [B, L, heads, 1]
    tensor<R> initial_state;  // [n, H, K, V]
    std::vector<int64> sequence_offsets;
    double scale = 1;
  };
  using outputs = typename outer_product<R>::outputs;

  // f(name, operand of each structure...) for every operand, and for every result
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("q", s.q...);
    f("k", s.k...);
    f("v", s.v...);
    f("log_decay", s.log_decay...);
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
    auto d = outer_product<R>::backward(c, dout);
    for (std::size_t n = 0; n < d.a.data.size(); ++n) d.a.data[n] = keep(c.a.data[n], d.a.data[n]);
    return {d.q, d.k, d.v, d.a, d.initial_state, {}, in.scale};
  }

 private:
  static typename outer_product<R>::inputs core(const inputs& in) {
    const auto gate = in.log_decay.map([](const R& g) -> R {
      using std::exp;
      return exp(g);
    });
    return {in.q, in.k, in.v, gate, in.initial_state, in.sequence_offsets};
  }
};

}  // namespace support::oracle

namespace support {

using gla = oracle::gla<double>;

template <>
struct case_of<gla> {
  using recurrence = gatescan::gla;
  static constexpr option_switch switches[] = {
      {"head_gate", false},  // log_decay [B, L, H, 1]
  };
  static void make(gla::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents grouped{n.B, n.L, n.H / c.group, n.K};
    in.q = g.normals({n.B, n.L, n.H, n.K});
    in.k = g.normals(grouped);
    in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
    in.log_decay = g.log_gates({n.B, n.L, n.H, c.is("head_gate") ? 1 : n.K}, c.gate);
    if (c.initial_state) in.initial_state = g.normals({sequence_count(n, c), n.H, n.K, n.V});
    in.scale = 0.375;
  }
  static void make_exact(gla::inputs& in, const sizes& n, const options& c, generator& g) {
    in.q = integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.k = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.log_decay = zero_or_reset(g, {n.B, n.L, n.H / c.group, c.is("head_gate") ? 1 : n.K});
    if (c.initial_state) in.initial_state = integers(g, {sequence_count(n, c), n.H, n.K, n.V}, 2);
    in.scale = 0.5;
  }
};

}  // namespace support
