// RWKV-6: the outer product read before a token's own gate, its own key through a bonus u.
#pragma once

#include "../outer_product.hpp"
#include "../prologue.hpp"

namespace support::oracle {

template <class R>
struct rwkv6 : prologue_of<outer_product<R>, rwkv6<R>> {
  struct inputs {
    tensor<R> r, k, w;        // [B, L, heads, K]; w: the logarithm of the gate
    tensor<R> v;              // [B, L, heads, V]
    tensor<R> u;              // [heads, K]
    tensor<R> initial_state;  // [n, H, K, V]
    std::vector<int64> sequence_offsets;
    double scale = 1;
  };
  // f(name, operand of each structure...) for every operand
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
  static void options(F f, S&... s) {
    f("scale", s.scale...);
  }

  static auto core(const inputs& in) {
    typename outer_product<R>::inputs c{
        scaled(in.scale, in.r), in.k, in.v, exponentials(in.w), in.initial_state,
        in.sequence_offsets};
    const int64 H = c.heads();
    c.own = tensor<R>({in.r.extent(0), in.r.extent(1), H, in.r.extent(3)});
    each_place(c.own.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      c.own(b, t, h, i) = of_head(in.u, h, i, H) * at(in.k, b, t, h, i, H);
    });
    return c;
  }
  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    inputs g{scaled(in.scale, d.q),
             d.k,
             through_exponentials(c.a, d.a),
             d.v,
             zeros_like(in.u),
             d.initial_state,
             {},
             in.scale};
    const int64 H = c.heads();
    each_place(c.own.shape, [&](int64 b, int64 t, int64 h, int64 i) {  // own = u k
      const R own = d.own(b, t, h, i);
      at(g.k, b, t, h, i, H) += of_head(in.u, h, i, H) * own;
      of_head(g.u, h, i, H) += at(in.k, b, t, h, i, H) * own;
    });
    return g;
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
    in.initial_state = random_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.375;
  }
  static void make_exact(rwkv6::inputs& in, const sizes& n, const options& c, generator& g) {
    in.r = integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.k = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
    in.w = zero_or_reset(g, {n.B, n.L, n.H / c.group, n.K});
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.u = integers(g, {n.H / c.group, n.K}, 2);
    in.initial_state = exact_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.5;
  }
};

}  // namespace support
