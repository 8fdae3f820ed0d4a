// Aaren: the outer product with one key of 1 and weights e^s in log space, divided by their sum.
#pragma once

#include "../normalised.hpp"

namespace support::oracle {

template <class R>
struct aaren : prologue_of<outer_product<R>, aaren<R>> {
  using base = prologue_of<outer_product<R>, aaren<R>>;
  using outputs = typename base::outputs;
  struct inputs {
    tensor<R> s, v;           // [B, L, heads], [B, L, heads, V]
    tensor<R> initial_state;  // the parts of it, with one key (normalised.hpp)
    std::vector<int64> sequence_offsets;
    log_scales held{};  // in the place of those that follow from s
  };

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("s", s.s...);
    f("v", s.v...);
    f("initial_state", s.initial_state...);
  }
  static inputs hold(inputs in) {
    in.held = weights(in).m;
    return in;
  }

  static auto core(const inputs& in) { return core(in, weights(in)); }
  static outputs blank(const inputs& in) {
    const int64 B = in.s.extent(0), states = state_count(B, in.sequence_offsets);
    return blank_with_log_scale<outputs, R>({B, in.s.extent(1), heads(in), in.v.extent(3)}, states,
                                            1);
  }
  static outputs forward(const inputs& in) {
    const auto w = weights(in);
    const outputs r = outer_product<R>::forward(core(in, w));
    return {divided(r.out, divisor), parts_of_state(r.final_state, w.last)};
  }
  static inputs backward(const inputs& in, const outputs& dout) {
    const auto w = weights(in);
    const auto c = core(in, w);
    outputs d{{}, columns_of_state(dout.final_state)};
    if (dout.out.given())
      d.out = divided_adjoint(outer_product<R>::forward(c).out, dout.out, divisor,
                              [](int64, int64, int64, R) { return R(1); });
    const auto g = outer_product<R>::backward(c, d);
    inputs r{zeros_like(in.s),
             without_last_value(g.v),
             parts_of_state(g.initial_state, tensor<double>(w.last.shape)),
             {}};
    const int64 group = w.last.extent(1) / in.s.extent(2);
    each_place(c.k.shape, [&](int64 b, int64 t, int64 h, int64) {
      r.s(b, t, h / group) += keep(w.key(b, t, h, 0), g.k(b, t, h, 0));
    });
    return r;
  }

 private:
  static int64 heads(const inputs& in) {
    return in.initial_state.given() ? in.initial_state.extent(1)
                                    : std::max(in.s.extent(2), in.v.extent(2));
  }
  static token_weights<R> weights(const inputs& in) {
    const int64 B = in.s.extent(0), H = heads(in);
    log_scales m = in.held;
    if (!m.first.given())
      m.first = log_scale_of_state(in.initial_state, state_count(B, in.sequence_offsets), H);
    return weights_of<R>(
        {B, in.s.extent(1), H}, in.sequence_offsets, m, [](int64, int64, int64) { return R(0); },
        [&](int64 b, int64 t, int64 h) { return in.s(b, t, h / (H / in.s.extent(2))); });
  }
  static auto core(const inputs& in, const token_weights<R>& w) {
    return typename outer_product<R>::inputs{tensor<R>(w.key.shape, R(1)),
                                             w.key,
                                             with_ones(in.v),
                                             w.gate,
                                             columns_of_state(in.initial_state),
                                             in.sequence_offsets};
  }
  static R divisor(int64, int64, int64, R n) {
    return R(0) < n ? n : R(std::numeric_limits<double>::infinity());
  }
};

}  // namespace support::oracle

namespace support {

using aaren = oracle::aaren<double>;

template <>
struct case_of<aaren> {
  using recurrence = gatescan::aaren;
  static constexpr bool has_gates = false;
  static constexpr std::array<option_switch, 0> switches{};
  static void make(aaren::inputs& in, const sizes& n, const options& c, generator& g) {
    in.s = g.normals({n.B, n.L, n.H / c.group});
    for (double& s : in.s.data) {
      if (c.gate == gates::strong) s *= 20;
      if (c.gate == gates::resets && g.coin(0.2)) s = -std::numeric_limits<double>::infinity();
    }
    in.v = g.normals({n.B, n.L, n.H, n.V});
    if (c.initial_state)
      in.initial_state = state(
          n, c, [&] { return g.uniform(0.5, 2); }, 0.5);
  }
  // Each score outweighs those before it, or is that of the token before once more: sums of 1 or 2.
  static void make_exact(aaren::inputs& in, const sizes& n, const options& c, generator& g) {
    in.s = tensor<double>({n.B, n.L, n.H / c.group}, -std::numeric_limits<double>::infinity());
    for (int64 b = 0; b < n.B; ++b)
      for (int64 h = 0; h < n.H / c.group; ++h) {
        int64 last = 0;
        bool again = true;
        for (int64 t = 0; t < n.L; ++t) {
          again = !again && g.coin(0.3);
          if (!again) last = std::min<int64>(last + 1, 60);
          if (last < 60 && g.coin(0.8)) in.s(b, t, h) = static_cast<double>(1024 * last);
        }
      }
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    if (c.initial_state)
      in.initial_state = state(
          n, c, [] { return 1.0; }, 0);
  }

 private:
  template <class Number>
  static tensor<double> state(const sizes& n, const options& c, Number number, double log_scale) {
    tensor<double> columns({sequence_count(n, c), n.H, 1, n.V + 1});
    for (double& x : columns.data) x = number();
    return oracle::parts_of_state(columns, tensor<double>({sequence_count(n, c), n.H}, log_scale));
  }
};

}  // namespace support
