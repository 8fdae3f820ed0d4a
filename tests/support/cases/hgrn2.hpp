// HGRN2: the outer product with gates b + (1 - b) sigmoid(f), and what they let go as keys.
#pragma once

#include "../outer_product.hpp"
#include "../prologue.hpp"
#include "../step_size.hpp"

namespace support::oracle {

template <class R>
struct hgrn2 : prologue_of<outer_product<R>, hgrn2<R>> {
  struct inputs {
    tensor<R> q, f, i;        // [B, L, heads, K | K | V]
    tensor<R> lower_bound;    // [heads, K], optional
    tensor<R> initial_state;  // [n, H, K, V]
    std::vector<int64> sequence_offsets;
  };

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("q", s.q...);
    f("f", s.f...);
    f("i", s.i...);
    f("lower_bound", s.lower_bound...);
    f("initial_state", s.initial_state...);
  }

  static auto core(const inputs& in) {
    typename outer_product<R>::inputs c{
        in.q, in.f, in.i, in.f, in.initial_state, in.sequence_offsets};
    const int64 H = c.heads();
    c.k = c.a = tensor<R>({in.f.extent(0), in.f.extent(1), H, in.f.extent(3)});
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      const R f = at(in.f, b, t, h, i, H), bound = bound_of(in, h, i, H);
      c.k(b, t, h, i) = (R(1) - bound) * sigmoid(-f);
      c.a(b, t, h, i) = bound + (R(1) - bound) * sigmoid(f);
    });
    return c;
  }
  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    inputs g{d.q, zeros_like(in.f), d.v, zeros_like(in.lower_bound), d.initial_state, {}};
    const int64 H = c.heads();
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      const R f = at(in.f, b, t, h, i, H), d_gate = d.a(b, t, h, i) - d.k(b, t, h, i);
      at(g.f, b, t, h, i, H) +=
          keep(R(sigmoid(f) * sigmoid(-f)), R((R(1) - bound_of(in, h, i, H)) * d_gate));
      if (in.lower_bound.given()) of_head(g.lower_bound, h, i, H) += d_gate * sigmoid(-f);
    });
    return g;
  }

 private:
  static R bound_of(const inputs& in, int64 h, int64 i, int64 all_heads) {
    return in.lower_bound.given() ? of_head(in.lower_bound, h, i, all_heads) : R{};
  }
};

}  // namespace support::oracle

namespace support {

using hgrn2 = oracle::hgrn2<double>;

template <>
struct case_of<hgrn2> {
  using recurrence = gatescan::hgrn2;
  static constexpr option_switch switches[] = {
      {"lower_bound", false},
  };
  static void make(hgrn2::inputs& in, const sizes& n, const options& c, generator& g) {
    in.q = g.normals({n.B, n.L, n.H, n.K});
    in.f = g.logits({n.B, n.L, n.H / c.group, n.K}, c.gate);
    in.i = g.normals({n.B, n.L, n.H / c.group, n.V});
    if (c.is("lower_bound")) in.lower_bound = g.uniforms({n.H, n.K}, 0, 0.9);
    in.initial_state = random_state(c, g, matrix_state_shape(n, c));
  }
  // Gates of 0, 1 and a few of 1/2.
  static void make_exact(hgrn2::inputs& in, const sizes& n, const options& c, generator& g) {
    in.q = integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.f = exact_logits(g, {n.B, n.L, n.H / c.group, n.K});
    in.i = integers(g, {n.B, n.L, n.H, n.V}, 2);
    if (c.is("lower_bound")) in.lower_bound = tensor<double>({n.H, n.K}, 0);
    in.initial_state = exact_state(c, g, matrix_state_shape(n, c));
  }
};

}  // namespace support
