// GLA: the outer product with real gates exp(log_decay); out is scaled.
#pragma once

#include "../outer_product.hpp"
#include "../prologue.hpp"

namespace support::oracle {

template <class R>
struct gla : prologue_of<outer_product<R>, gla<R>> {
  struct inputs {
    tensor<R> q, k, v;        // [B, L, heads, K | K | V]
    tensor<R> log_decay;      // [B, L, heads, K] or [B, L, heads, 1]
    tensor<R> initial_state;  // [n, H, K, V]
    std::vector<int64> sequence_offsets;
    double scale = 1;
  };
  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("q", s.q...);
    f("k", s.k...);
    f("v", s.v...);
    f("log_decay", s.log_decay...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void options(F f, S&... s) {
    f("scale", s.scale...);
  }

  static auto core(const inputs& in) {
    return typename outer_product<R>::inputs{
        scaled(in.scale, in.q), in.k, in.v, exponentials(in.log_decay), in.initial_state,
        in.sequence_offsets};
  }
  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    return {scaled(in.scale, d.q), d.k, d.v,     through_exponentials(c.a, d.a),
            d.initial_state,       {},  in.scale};
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
    in.initial_state = random_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.375;
  }
  static void make_exact(gla::inputs& in, const sizes& n, const options& c, generator& g) {
    in.q = integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.k = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.log_decay = zero_or_reset(g, {n.B, n.L, n.H / c.group, c.is("head_gate") ? 1 : n.K});
    in.initial_state = exact_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.5;
  }
};

}  // namespace support
