// RWKV-7: the outer product that writes under b what a reads of the state before a token's gate.
#pragma once

#include "../outer_product.hpp"
#include "../prologue.hpp"

namespace support::oracle {

template <class R>
struct rwkv7 : prologue_of<outer_product<R>, rwkv7<R>> {
  struct inputs {
    tensor<R> r, w, k, a, b;  // [B, L, heads, K]; w: the logarithm of the gate
    tensor<R> v;              // [B, L, heads, V]
    tensor<R> initial_state;  // [n, H, K, V]
    std::vector<int64> sequence_offsets;
    double scale = 1;
  };
  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("r", s.r...);
    f("w", s.w...);
    f("k", s.k...);
    f("a", s.a...);
    f("b", s.b...);
    f("v", s.v...);
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
    c.p = scaled(-1, in.a);
    c.b = in.b;
    return c;
  }
  static inputs gradients(const inputs& in, const auto& c, const auto& d) {
    return {scaled(in.scale, d.q),
            through_exponentials(c.a, d.a),
            d.k,
            scaled(-1, d.p),
            d.b,
            d.v,
            d.initial_state,
            {},
            in.scale};
  }
};

}  // namespace support::oracle

namespace support {

using rwkv7 = oracle::rwkv7<double>;

template <>
struct case_of<rwkv7> {
  using recurrence = gatescan::rwkv7;
  static constexpr std::array<option_switch, 0> switches{};
  // b against a, as RWKV-7 has them, and a little beside it: no state grows, and none that has one
  // key is all but taken away, which would leave its gradient to what is rounded off.
  static void make(rwkv7::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents grouped{n.B, n.L, n.H / c.group, n.K};
    in.r = g.normals({n.B, n.L, n.H, n.K});
    in.w = g.log_gates({n.B, n.L, n.H, n.K}, c.gate);
    in.k = g.normals(grouped);
    in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
    in.a = g.normals(grouped);
    in.b = g.normals(grouped);
    for (std::size_t row = 0; row < in.a.data.size(); row += static_cast<std::size_t>(n.K)) {
      const auto length = [&](const std::vector<double>& x) {
        double square = 0;
        for (std::size_t i = row; i < row + static_cast<std::size_t>(n.K); ++i)
          square += x[i] * x[i];
        return std::sqrt(square);
      };
      const double size = g.uniform(0.5, 1),
                   rate = g.coin() ? g.uniform(0.1, 0.4) : g.uniform(1.5, 1.8);
      const double of_a = length(in.a.data) / size, of_b = length(in.b.data) * size / 0.1;
      for (std::size_t i = row; i < row + static_cast<std::size_t>(n.K); ++i) {
        in.a.data[i] /= of_a;
        in.b.data[i] = in.b.data[i] / of_b - rate * in.a.data[i] / (size * size);
      }
    }
    in.initial_state = random_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.375;
  }
  // a of one number, b = -a or 0: what a token does to the state is then exact, and no state grows.
  static void make_exact(rwkv7::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents keys{n.B, n.L, n.H / c.group, n.K};
    in.r = integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.w = zero_or_reset(g, keys);
    in.k = integers(g, keys, 2);
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    in.a = tensor<double>(keys);
    in.b = tensor<double>(keys);
    for (std::size_t row = 0; row < in.a.data.size(); row += static_cast<std::size_t>(n.K)) {
      const std::size_t i = row + static_cast<std::size_t>(g.below(n.K));
      in.a.data[i] = g.coin() ? 1 : -1;
      in.b.data[i] = g.coin() ? 0 : -in.a.data[i];
    }
    in.initial_state = exact_state(c, g, matrix_state_shape(n, c));
    in.scale = 0.5;
  }
};

}  // namespace support
