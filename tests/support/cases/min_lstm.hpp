// minLSTM: channels with gates F / (F + I) and inputs I / (F + I) g(h), F = sigmoid(f) and
// I = sigmoid(i).
#pragma once

#include "min_gru.hpp"

namespace support::oracle {

template <class R>
struct min_lstm : prologue_of<elementwise<R>, min_lstm<R>> {
  struct inputs {
    tensor<R> f, i, h;        // [B, L, heads, D]
    tensor<R> initial_state;  // [n, H, D]
    std::vector<int64> sequence_offsets;
  };

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("f", s.f...);
    f("i", s.i...);
    f("h", s.h...);
    f("initial_state", s.initial_state...);
  }

  static auto core(const inputs& in) {
    typename elementwise<R>::inputs c{in.f, in.h, in.initial_state, in.sequence_offsets};
    const int64 H = std::max(c.heads(), in.i.extent(2));
    c.a = c.x = tensor<R>({in.f.extent(0), in.f.extent(1), H, in.f.extent(3)});
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      const R log = log_of_shares(in, b, t, h, i, H);
      c.a(b, t, h, i) = sigmoid(-log);
      c.x(b, t, h, i) = sigmoid(log) * candidate(at(in.h, b, t, h, i, H));
    });
    return c;
  }
  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    inputs g{zeros_like(in.f), zeros_like(in.i), zeros_like(in.h), d.initial_state, {}};
    const int64 H = c.heads();
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      const R log = log_of_shares(in, b, t, h, i, H), x = at(in.h, b, t, h, i, H);
      const R dx = d.x(b, t, h, i);
      const R d_log = keep(R(sigmoid(log) * sigmoid(-log)), R(dx * candidate(x) - d.a(b, t, h, i)));
      at(g.f, b, t, h, i, H) += -(d_log * sigmoid(-at(in.f, b, t, h, i, H)));
      at(g.i, b, t, h, i, H) += d_log * sigmoid(-at(in.i, b, t, h, i, H));
      at(g.h, b, t, h, i, H) += dx * sigmoid(log) * candidate_slope(x);
    });
    return g;
  }

 private:
  // log(I / F)
  static R log_of_shares(const inputs& in, int64 b, int64 t, int64 h, int64 i, int64 all_heads) {
    return softplus(R(-at(in.f, b, t, h, i, all_heads))) -
           softplus(R(-at(in.i, b, t, h, i, all_heads)));
  }
};

}  // namespace support::oracle

namespace support {

using min_lstm = oracle::min_lstm<double>;

template <>
struct case_of<min_lstm> {
  using recurrence = gatescan::min_lstm;
  static constexpr std::array<option_switch, 0> switches{};
  static void make(min_lstm::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents shape{n.B, n.L, n.H / c.group, n.V};
    in.f = in.i = tensor<double>(shape);
    for (std::size_t e = 0; e < in.f.data.size(); ++e)
      set_log_gate(in.f.data[e], in.i.data[e], g.log_gate(c.gate), g.uniform(-2, 2));
    in.h = case_of<min_gru>::random_candidates(g, {n.B, n.L, n.H, n.V});
    in.initial_state = random_state(c, g, channel_state_shape(n, c));
  }
  // Gates of 0, 1 and a few of 1/2: f and i are as good as 0, 1, or both 1.
  static void make_exact(min_lstm::inputs& in, const sizes& n, const options& c, generator& g) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    const auto gates = exact_logits(g, {n.B, n.L, n.H / c.group, n.V});
    in.f = gates.map([](double e) { return e < 0 ? -inf : inf; });
    in.i = gates.map([](double e) { return e > 0 ? -inf : inf; });
    in.h = case_of<min_gru>::exact_candidates(g, {n.B, n.L, n.H, n.V});
    in.initial_state = exact_state(c, g, channel_state_shape(n, c));
  }
  // f and i whose gate is e^log_gate, the larger of them `larger`
  static void set_log_gate(double& f, double& i, double log_gate, double larger) {
    const double odds = generator::logit_of_log(log_gate), least = softplus(-larger);
    const double other = -log_of_expm1(least + std::fabs(odds));
    f = odds < 0 ? other : larger;
    i = odds < 0 ? larger : other;
  }
  static double softplus(double x) { return oracle::softplus(x); }
  static double log_of_expm1(double y) { return y + std::log(-std::expm1(-y)); }
};

}  // namespace support
