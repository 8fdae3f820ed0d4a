// mLSTM: the outer product with gates and key weights in log space; out is scaled and divided.
#pragma once

#include "../normalised.hpp"
#include "../step_size.hpp"

namespace support::oracle {

template <class R>
struct mlstm : prologue_of<outer_product<R>, mlstm<R>> {
  using base = prologue_of<outer_product<R>, mlstm<R>>;
  using outputs = typename base::outputs;
  struct inputs {
    tensor<R> q, k, v;        // [B, L, heads, K | K | V]
    tensor<R> i, f;           // [B, L, heads]
    tensor<R> initial_state;  // the parts of it (normalised.hpp)
    std::vector<int64> sequence_offsets;
    double scale = 1, eps = 1e-6;
    log_scales held{};  // in the place of those that follow from i and f
  };

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("q", s.q...);
    f("k", s.k...);
    f("v", s.v...);
    f("i", s.i...);
    f("f", s.f...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void options(F f, S&... s) {
    f("scale", s.scale...);
    f("eps", s.eps...);
  }
  static inputs hold(inputs in) {
    in.held = weights(in).m;
    return in;
  }

  static auto core(const inputs& in) { return core(in, weights(in)); }
  static outputs blank(const inputs& in) {
    const int64 B = in.q.extent(0), states = state_count(B, in.sequence_offsets);
    return blank_with_log_scale<outputs, R>({B, in.q.extent(1), heads(in), in.v.extent(3)}, states,
                                            in.q.extent(3));
  }
  static outputs forward(const inputs& in) {
    const auto w = weights(in);
    const outputs r = outer_product<R>::forward(core(in, w));
    return {divided(r.out, divisor(in, w)), parts_of_state(r.final_state, w.last)};
  }
  static inputs backward(const inputs& in, const outputs& dout) {
    const auto w = weights(in);
    const auto c = core(in, w);
    outputs d{{}, columns_of_state(dout.final_state)};
    if (dout.out.given())
      d.out = divided_adjoint(outer_product<R>::forward(c).out, dout.out, divisor(in, w),
                              [&](int64 b, int64 t, int64 h, R n) {
                                const R sign = n < R(0) ? R(-1) : R(1);
                                return sign * n < least(w, b, t, h) ? R(0) : sign;
                              });
    const auto g = outer_product<R>::backward(c, d);
    inputs r{scaled(in.scale, g.q),
             zeros_like(in.k),
             without_last_value(g.v),
             zeros_like(in.i),
             zeros_like(in.f),
             parts_of_state(g.initial_state, tensor<double>(w.last.shape)),
             {}};
    const int64 H = w.last.extent(1);
    each_place(c.k.shape, [&](int64 b, int64 t, int64 h, int64 n) {
      const R k = at(in.k, b, t, h, n, H), key = w.key(b, t, h, 0);
      at(r.k, b, t, h, n, H) += g.k(b, t, h, n) * key;
      of_token(r.i, b, t, h, H) += keep(key, R(g.k(b, t, h, n) * k));
    });
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64) {
      of_token(r.f, b, t, h, H) +=
          keep(w.gate(b, t, h, 0), g.a(b, t, h, 0)) * sigmoid(-of_token(in.f, b, t, h, H));
    });
    return r;
  }

 private:
  static int64 heads(const inputs& in) {
    int64 most = 0;
    for (const auto* x : {&in.q, &in.k, &in.v, &in.i, &in.f}) most = std::max(most, x->extent(2));
    return in.initial_state.given() ? in.initial_state.extent(1) : most;
  }
  template <class T>
  static auto& of_token(T& x, int64 b, int64 t, int64 h, int64 all_heads) {
    return x(b, t, h / (all_heads / x.extent(2)));
  }
  static token_weights<R> weights(const inputs& in) {
    const int64 H = heads(in), B = in.q.extent(0);
    log_scales m = in.held;
    if (!m.first.given())
      m.first = log_scale_of_state(in.initial_state, state_count(B, in.sequence_offsets), H);
    return weights_of<R>(
        {B, in.q.extent(1), H}, in.sequence_offsets, m,
        [&](int64 b, int64 t, int64 h) { return R(-1) * softplus(-of_token(in.f, b, t, h, H)); },
        [&](int64 b, int64 t, int64 h) { return of_token(in.i, b, t, h, H); });
  }
  static auto core(const inputs& in, const token_weights<R>& w) {
    const int64 H = w.last.extent(1);
    typename outer_product<R>::inputs c{
        scaled(in.scale, in.q),
        tensor<R>({in.q.extent(0), in.q.extent(1), H, in.k.extent(3)}),
        with_ones(in.v),
        w.gate,
        columns_of_state(in.initial_state),
        in.sequence_offsets};
    each_place(c.k.shape, [&](int64 b, int64 t, int64 h, int64 n) {
      c.k(b, t, h, n) = w.key(b, t, h, 0) * at(in.k, b, t, h, n, H);
    });
    return c;
  }
  // e^-m
  static R least(const token_weights<R>& w, int64 b, int64 t, int64 h) {
    return R(std::exp(-w.m.after(b, t, h)));
  }
  static auto divisor(const inputs& in, const token_weights<R>& w) {
    return [&w, eps = in.eps](int64 b, int64 t, int64 h, R n) {
      const R size = n < R(0) ? -n : n, bound = least(w, b, t, h);
      return (size < bound ? bound : size) + R(eps);
    };
  }
};

}  // namespace support::oracle

namespace support {

using mlstm = oracle::mlstm<double>;

template <>
struct case_of<mlstm> {
  using recurrence = gatescan::mlstm;
  static constexpr std::array<option_switch, 0> switches{};
  // Little is written, so that n is seldom a small difference of large numbers.
  static void make(mlstm::inputs& in, const sizes& n, const options& c, generator& g) {
    in.q = g.normals({n.B, n.L, n.H, n.K});
    in.k = g.normals({n.B, n.L, n.H / c.group, n.K});
    in.v = g.normals({n.B, n.L, n.H, n.V});
    in.i = g.uniforms({n.B, n.L, n.H}, -4, 0);
    in.f = g.logits({n.B, n.L, n.H / c.group}, c.gate);
    if (c.gate == gates::resets)
      for (double& i : in.i.data)
        if (g.coin(0.2)) i = -std::numeric_limits<double>::infinity();
    in.scale = 0.25;
    if (c.initial_state)
      in.initial_state = state(
          n, c, [&] { return g.normal(); }, -1.5);
  }
  // Gates and weights of 0 and 1, and |n| < 1 = e^-m.
  static void make_exact(mlstm::inputs& in, const sizes& n, const options& c, generator& g) {
    in.q = integers(g, {n.B, n.L, n.H, n.K}, 1);
    in.k = integers(g, {n.B, n.L, n.H / c.group, n.K}, 1);
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.i = zero_or_reset(g, {n.B, n.L, n.H});
    in.f = zero_or_reset(g, {n.B, n.L, n.H / c.group}).map([](double f) {
      return f == 0 ? std::numeric_limits<double>::infinity() : f;
    });
    in.scale = 0x1p-14, in.eps = 0;
    if (c.initial_state)
      in.initial_state = state(
          n, c, [&] { return static_cast<double>(g.between(-2, 2)); }, 0);
  }

 private:
  template <class Number>
  static tensor<double> state(const sizes& n, const options& c, Number number, double log_scale) {
    tensor<double> columns({sequence_count(n, c), n.H, n.K, n.V + 1});
    for (double& x : columns.data) x = number();
    return oracle::parts_of_state(columns, tensor<double>({sequence_count(n, c), n.H}, log_scale));
  }
};

}  // namespace support
