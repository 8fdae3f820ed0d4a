// RG-LRU: channels with gates a = exp(-8 softplus(Lambda) sigmoid(r)) and inputs
// sqrt(1 - a^2) sigmoid(i) x. The slope of the square root is bounded.
#pragma once

#include "../prologue.hpp"
#include "../step_size.hpp"
#include "elementwise.hpp"

namespace support::oracle {

template <class R>
struct rg_lru : prologue_of<elementwise<R>, rg_lru<R>> {
  struct inputs {
    tensor<R> x, r, i;        // [B, L, heads, D]
    tensor<R> Lambda;         // [heads, D]
    tensor<R> initial_state;  // [n, H, D]
    std::vector<int64> sequence_offsets;
    double max_slope = 1000;
  };

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("x", s.x...);
    f("r", s.r...);
    f("i", s.i...);
    f("Lambda", s.Lambda...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void options(F f, S&... s) {
    f("max_slope", s.max_slope...);
  }

  static auto core(const inputs& in) {
    typename elementwise<R>::inputs c{in.x, in.r, in.initial_state, in.sequence_offsets};
    const int64 H = std::max({c.heads(), in.i.extent(2), in.Lambda.extent(0)});
    c.a = c.x = tensor<R>({in.x.extent(0), in.x.extent(1), H, in.x.extent(3)});
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      using std::exp, std::sqrt;
      const R log_a = rate(in, h, i, H) * sigmoid(at(in.r, b, t, h, i, H));
      c.a(b, t, h, i) = exp(log_a);
      c.x(b, t, h, i) =
          sqrt(rest(log_a)) * sigmoid(at(in.i, b, t, h, i, H)) * at(in.x, b, t, h, i, H);
    });
    return c;
  }
  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    inputs g{zeros_like(in.x),      zeros_like(in.r), zeros_like(in.i),
             zeros_like(in.Lambda), d.initial_state,  {},
             in.max_slope};
    const int64 H = c.heads();
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 n) {
      using std::sqrt;
      const R x = at(in.x, b, t, h, n, H), r = at(in.r, b, t, h, n, H);
      const R i = at(in.i, b, t, h, n, H), Lambda = of_head(in.Lambda, h, n, H);
      const R a = c.a(b, t, h, n), root = sqrt(rest(R(rate(in, h, n, H) * sigmoid(r))));
      const R d_input = d.x(b, t, h, n);
      at(g.x, b, t, h, n, H) += d_input * root * sigmoid(i);
      at(g.i, b, t, h, n, H) += d_input * root * x * sigmoid(i) * sigmoid(-i);
      // of sqrt(y) at y = 1 - a^2, and dy / d log a = -2 a^2
      const R bound(in.max_slope);
      const R slope = R(1) < R(2) * root * bound ? R(R(0.5) / root) : bound;
      const R d_a = d.a(b, t, h, n) - R(2) * a * slope * d_input * sigmoid(i) * x;
      if (a == R{}) return;
      at(g.r, b, t, h, n, H) += d_a * a * rate(in, h, n, H) * sigmoid(r) * sigmoid(-r);
      of_head(g.Lambda, h, n, H) += d_a * a * R(-8) * sigmoid(Lambda) * sigmoid(r);
    });
    return g;
  }

 private:
  static R rate(const inputs& in, int64 h, int64 i, int64 all_heads) {
    return R(-8) * softplus(of_head(in.Lambda, h, i, all_heads));
  }
  static R rest(const R& log_a) {  // 1 - a^2
    using std::expm1;
    return -expm1(R(2) * log_a);
  }
};

}  // namespace support::oracle

namespace support {

using rg_lru = oracle::rg_lru<double>;

template <>
struct case_of<rg_lru> {
  using recurrence = gatescan::rg_lru;
  static constexpr std::array<option_switch, 0> switches{};
  static void make(rg_lru::inputs& in, const sizes& n, const options& c, generator& g) {
    // log a of -20 needs a softplus(Lambda) of 3, a gate of 0 in double one of 93
    const bool far = c.gate == gates::resets || c.gate == gates::tiny || c.gate == gates::mixed;
    in.Lambda = far ? g.uniforms({n.H, n.V}, 100, 101) : g.uniforms({n.H, n.V}, 3, 4);
    in.x = g.normals({n.B, n.L, n.H, n.V});
    in.i = g.normals({n.B, n.L, n.H / c.group, n.V});
    in.r = tensor<double>(in.i.shape);
    oracle::each_place(in.r.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      in.r(b, t, h, i) = r_of(g.log_gate(c.gate), in.Lambda(h * c.group, i));
    });
    in.initial_state = random_state(c, g, channel_state_shape(n, c));
  }
  // Gates of 0 and 1; with those of 1 nothing is added.
  static void make_exact(rg_lru::inputs& in, const sizes& n, const options& c, generator& g) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    in.x = integers(g, {n.B, n.L, n.H, n.V}, 3);
    in.r = zero_or_reset(g, {n.B, n.L, n.H / c.group, n.V}).map([](double e) {
      return e < 0 ? inf : -inf;
    });
    in.i = tensor<double>({n.B, n.L, n.H, n.V}, 0);
    in.Lambda = tensor<double>({n.H, n.V}, 1000);
    in.initial_state = exact_state(c, g, channel_state_shape(n, c));
  }
  // r whose log gate this is, or the next that Lambda allows
  static double r_of(double log_gate, double Lambda) {
    const double most = 8 * oracle::softplus(Lambda);
    return generator::logit_of_log(std::log(std::min(1.0, -log_gate / most)));
  }
};

}  // namespace support
