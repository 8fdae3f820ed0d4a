// Linear attention: the outer product with gates of 1; out is scaled, and divided where normalised.
#pragma once

#include "../normalised.hpp"

namespace support::oracle {

template <class R>
struct linear_attention : prologue_of<outer_product<R>, linear_attention<R>> {
  using base = prologue_of<outer_product<R>, linear_attention<R>>;
  using outputs = typename base::outputs;
  struct inputs {
    tensor<R> q, k, v;        // [B, L, heads, K | K | V]
    tensor<R> initial_state;  // [n, H, K, V]; normalised: its parts (normalised.hpp)
    std::vector<int64> sequence_offsets;
    double scale = 1, eps = 1e-10;
    bool normalise = false;
  };

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("q", s.q...);
    f("k", s.k...);
    f("v", s.v...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void options(F f, S&... s) {
    f("scale", s.scale...);
    f("eps", s.eps...);
    f("normalise", s.normalise...);
  }

  static auto core(const inputs& in) {
    const tensor<R>& S = in.initial_state;
    typename outer_product<R>::inputs c{scaled(in.scale, in.q),
                                        in.k,
                                        in.normalise ? with_ones(in.v) : in.v,
                                        {},
                                        in.normalise ? columns_of_state(S) : S,
                                        in.sequence_offsets};
    c.a = tensor<R>({in.q.extent(0), in.q.extent(1), in.q.extent(2), 1}, R(1));
    return c;
  }
  static outputs blank(const inputs& in) {
    outputs r = base::blank(in);
    return in.normalise ? outputs{without_last_value(r.out), parts_of_state(r.final_state, {})} : r;
  }
  static outputs forward(const inputs& in) {
    const outputs r = base::forward(in);
    if (!in.normalise) return r;
    return {divided(r.out, divisor(in)), parts_of_state(r.final_state, {})};
  }
  static inputs backward(const inputs& in, const outputs& dout) {
    const auto c = core(in);
    outputs d = dout;
    if (in.normalise) {
      if (dout.out.given())
        d.out = divided_adjoint(outer_product<R>::forward(c).out, dout.out, divisor(in),
                                [](int64, int64, int64, R) { return R(1); });
      d.final_state = columns_of_state(dout.final_state);
    }
    const auto g = outer_product<R>::backward(c, d);
    if (!in.normalise) return {scaled(in.scale, g.q), g.k, g.v, g.initial_state, {}};
    return {scaled(in.scale, g.q),
            g.k,
            without_last_value(g.v),
            parts_of_state(g.initial_state, {}),
            {}};
  }

 private:
  static auto divisor(const inputs& in) {
    return [eps = in.eps](int64, int64, int64, R n) { return n + R(eps); };
  }
};

}  // namespace support::oracle

namespace support {

using linear_attention = oracle::linear_attention<double>;

template <>
struct case_of<linear_attention> {
  using recurrence = gatescan::linear_attention;
  static constexpr bool has_gates = false;
  static constexpr option_switch switches[] = {
      {"normalise", true},
  };
  // positive features where the output is normalised
  static void make(linear_attention::inputs& in, const sizes& n, const options& c, generator& g) {
    in.normalise = c.is("normalise");
    const auto features = [&](const extents& shape) {
      return in.normalise ? g.uniforms(shape, 0.05, 2) : g.normals(shape);
    };
    in.q = features({n.B, n.L, n.H, n.K});
    in.k = features({n.B, n.L, n.H / c.group, n.K});
    in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
    in.scale = 0.375, in.eps = 2;  // with one key q would nearly cancel out
    if (!in.normalise) {
      in.initial_state = random_state(c, g, matrix_state_shape(n, c));
    } else if (c.initial_state) {
      const int64 count = sequence_count(n, c);
      in.initial_state = g.uniforms({count, n.H, n.K, n.V + 1, 1, 1}, 0.1, 1);
    }
  }
  // a quotient is not exact
  static void make_exact(linear_attention::inputs& in, const sizes& n, const options& c,
                         generator& g) {
    in.q = integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.k = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.initial_state = exact_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.5;
  }
};

}  // namespace support
