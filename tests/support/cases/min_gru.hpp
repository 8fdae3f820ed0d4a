// minGRU: channels with gates sigmoid(-z) and inputs sigmoid(z) g(h).
#pragma once

#include "../prologue.hpp"
#include "../step_size.hpp"
#include "elementwise.hpp"

namespace support::oracle {

// g, and its slope
template <class R>
R candidate(const R& h) {
  return h < R(0) ? R(sigmoid(h)) : R(h + R(0.5));
}
template <class R>
R candidate_slope(const R& h) {
  return h < R(0) ? R(sigmoid(h) * sigmoid(-h)) : R(1);
}

template <class R>
struct min_gru : prologue_of<elementwise<R>, min_gru<R>> {
  struct inputs {
    tensor<R> z, h;           // [B, L, heads, D]
    tensor<R> initial_state;  // [n, H, D]
    std::vector<int64> sequence_offsets;
  };

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("z", s.z...);
    f("h", s.h...);
    f("initial_state", s.initial_state...);
  }

  static auto core(const inputs& in) {
    typename elementwise<R>::inputs c{in.z, in.h, in.initial_state, in.sequence_offsets};
    const int64 H = c.heads();
    c.a = c.x = tensor<R>({in.z.extent(0), in.z.extent(1), H, in.z.extent(3)});
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      const R z = at(in.z, b, t, h, i, H);
      c.a(b, t, h, i) = sigmoid(-z);
      c.x(b, t, h, i) = sigmoid(z) * candidate(at(in.h, b, t, h, i, H));
    });
    return c;
  }
  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    inputs g{zeros_like(in.z), zeros_like(in.h), d.initial_state, {}};
    const int64 H = c.heads();
    each_place(c.a.shape, [&](int64 b, int64 t, int64 h, int64 i) {
      const R z = at(in.z, b, t, h, i, H), x = at(in.h, b, t, h, i, H), dx = d.x(b, t, h, i);
      at(g.z, b, t, h, i, H) +=
          keep(R(sigmoid(z) * sigmoid(-z)), R(dx * candidate(x) - d.a(b, t, h, i)));
      at(g.h, b, t, h, i, H) += dx * sigmoid(z) * candidate_slope(x);
    });
    return g;
  }
};

}  // namespace support::oracle

namespace support {

using min_gru = oracle::min_gru<double>;

template <>
struct case_of<min_gru> {
  using recurrence = gatescan::min_gru;
  static constexpr std::array<option_switch, 0> switches{};
  static void make(min_gru::inputs& in, const sizes& n, const options& c, generator& g) {
    in.z = negated(g.logits({n.B, n.L, n.H / c.group, n.V}, c.gate));
    in.h = random_candidates(g, {n.B, n.L, n.H, n.V});
    in.initial_state = random_state(c, g, channel_state_shape(n, c));
  }
  static void make_exact(min_gru::inputs& in, const sizes& n, const options& c, generator& g) {
    in.z = negated(exact_logits(g, {n.B, n.L, n.H / c.group, n.V}));
    in.h = exact_candidates(g, {n.B, n.L, n.H, n.V});
    in.initial_state = exact_state(c, g, channel_state_shape(n, c));
  }
  static tensor<double> negated(const tensor<double>& x) {
    return x.map([](double e) { return -e; });
  }
  // not where g has a kink
  static tensor<double> random_candidates(generator& g, const extents& shape) {
    return g.normals(shape).map([](double e) { return e + std::copysign(0.01, e); });
  }
  // whose candidates are exact
  static tensor<double> exact_candidates(generator& g, const extents& shape) {
    return integers(g, shape, 3).map([](double e) { return std::fabs(e); });
  }
};

}  // namespace support
