// Retention: the outer product with one constant gate exp(log_decay) a head; out is scaled.
#pragma once

#include "../outer_product.hpp"
#include "../prologue.hpp"

namespace support::oracle {

template <class R>
struct retention : prologue_of<outer_product<R>, retention<R>> {
  struct inputs {
    tensor<R> q, k, v;        // [B, L, heads, K | K | V]
    tensor<R> log_decay;      // [heads]
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
    typename outer_product<R>::inputs c{scaled(in.scale, in.q), in.k, in.v, {}, in.initial_state,
                                        in.sequence_offsets};
    c.a = tensor<R>({in.q.extent(0), in.q.extent(1), in.log_decay.extent(0), 1});
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      using std::exp;
      c.a(b, t, h, i) = exp(in.log_decay(h));
    });
    return c;
  }
  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    inputs g{scaled(in.scale, d.q), d.k, d.v,     zeros_like(in.log_decay),
             d.initial_state,       {},  in.scale};
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      g.log_decay(h) += keep(c.a(b, t, h, i), d.a(b, t, h, i));
    });
    return g;
  }
};

}  // namespace support::oracle

namespace support {

using retention = oracle::retention<double>;

template <>
struct case_of<retention> {
  using recurrence = gatescan::retention;
  static constexpr std::array<option_switch, 0> switches{};
  static void make(retention::inputs& in, const sizes& n, const options& c, generator& g) {
    in.q = g.normals({n.B, n.L, n.H, n.K});
    // the gradient of log_decay, a sum over all tokens, is to be a number of 16 bits
    in.k = oracle::scaled(0.125, g.normals({n.B, n.L, n.H / c.group, n.K}));
    in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
    in.log_decay = g.log_gates({n.H}, c.gate);
    in.initial_state = random_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.375;
  }
  static void make_exact(retention::inputs& in, const sizes& n, const options& c, generator& g) {
    in.q = integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.k = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.log_decay = zero_or_reset(g, {n.H / c.group});
    in.initial_state = exact_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.5;
  }
};

}  // namespace support
