// GateLoop: the outer product with complex gates, a = exp(log_magnitude + i phase) or a itself.
#pragma once

#include <cmath>

#include "../outer_product.hpp"
#include "../problem.hpp"

namespace support::oracle {

template <class R>
struct gateloop {
  using E = cplx<R>;
  struct inputs {
    tensor<E> q, k;                  // [B, L, heads, K]
    tensor<R> v;                     // [B, L, heads, V]
    tensor<R> log_magnitude, phase;  // [B, L, heads, K], each optional
    tensor<E> a;                     // instead of the two
    tensor<E> initial_state;         // [n, H, K, V]
    std::vector<int64> sequence_offsets;
  };
  using outputs = typename outer_product<E>::outputs;

  // f(name, operand of each structure...) for every operand, and for every result
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("q", s.q...);
    f("k", s.k...);
    f("v", s.v...);
    f("log_magnitude", s.log_magnitude...);
    f("phase", s.phase...);
    f("a", s.a...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void results(F f, S&... s) {
    f("out", s.out...);
    f("final_state", s.final_state...);
  }

  static outputs blank(const inputs& in) { return outer_product<E>::blank(core(in)); }
  static outputs forward(const inputs& in) { return outer_product<E>::forward(core(in)); }

  static inputs backward(const inputs& in, const outputs& dout) {
    const auto c = core(in);
    const auto d = outer_product<E>::backward(c, dout);
    inputs r{d.q, d.k, d.v, zeros_like(in.log_magnitude), zeros_like(in.phase), {}, d.initial_state,
             {}};
    if (in.a.given()) {
      r.a = d.a;
      return r;
    }
    // a = exp(m + i p): dm = Re z and dp = Im z with z = da conj(a). Per operand, since the two may
    // have different head counts.
    const int64 H = c.heads();
    for (int64 b = 0; b < c.a.extent(0); ++b)
      for (int64 t = 0; t < c.a.extent(1); ++t)
        for (int64 h = 0; h < c.a.extent(2); ++h)
          for (int64 i = 0; i < c.a.extent(3); ++i) {
            const E z = keep(conj(c.a(b, t, h, i)), d.a(b, t, h, i));
            if (in.log_magnitude.given()) at(r.log_magnitude, b, t, h, i, H) += z.re;
            if (in.phase.given()) at(r.phase, b, t, h, i, H) += z.im;
          }
    return r;
  }

 private:
  // the gates of every head, written out
  static typename outer_product<E>::inputs core(const inputs& in) {
    typename outer_product<E>::inputs r{
        in.q, in.k, in.v, in.a, in.initial_state, in.sequence_offsets};
    if (in.a.given()) return r;
    const int64 B = in.q.extent(0), L = in.q.extent(1), K = in.q.extent(3);
    r.a = tensor<E>({B, L, 1, K});
    if (in.log_magnitude.given()) r.a = tensor<E>(in.log_magnitude.shape);
    if (in.phase.given() && in.phase.extent(2) > r.a.extent(2)) r.a = tensor<E>(in.phase.shape);
    const int64 H = r.heads();
    r.a = tensor<E>({B, L, H, K});
    for (int64 b = 0; b < B; ++b)
      for (int64 t = 0; t < L; ++t)
        for (int64 h = 0; h < H; ++h)
          for (int64 i = 0; i < K; ++i) {
            using std::cos, std::exp, std::sin;
            const R size =
                in.log_magnitude.given() ? R(exp(at(in.log_magnitude, b, t, h, i, H))) : R(1);
            const R angle = in.phase.given() ? at(in.phase, b, t, h, i, H) : R{};
            r.a(b, t, h, i) = {size * cos(angle), size * sin(angle)};
          }
    return r;
  }
};

}  // namespace support::oracle

namespace support {

using gateloop = oracle::gateloop<double>;

template <>
struct case_of<gateloop> {
  using recurrence = gatescan::gateloop;
  static constexpr option_switch switches[] = {
      {"complex", true},       // q and k
      {"linear_gate", false},  // a instead of log_magnitude and phase
      {"phase", true},         // beside log_magnitude
  };
  static void make(gateloop::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents keys{n.B, n.L, n.H, n.K}, grouped{n.B, n.L, n.H / c.group, n.K};
    in.q = c.is("complex") ? g.complex_normals(keys) : as_complex(g.normals(keys));
    in.k = c.is("complex") ? g.complex_normals(grouped) : as_complex(g.normals(grouped));
    in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
    if (c.is("linear_gate")) {
      in.a = g.complex_gates(grouped, c.gate);
    } else {
      in.log_magnitude = g.log_gates(grouped, c.gate);
      if (c.is("phase")) in.phase = g.phases(keys);
    }
    if (c.initial_state)
      in.initial_state = g.complex_normals({sequence_count(n, c), n.H, n.K, n.V});
  }
  static void make_exact(gateloop::inputs& in, const sizes& n, const options& c, generator& g) {
    const extents keys{n.B, n.L, n.H / c.group, n.K};
    in.q = complex_integers(g, {n.B, n.L, n.H, n.K}, 2);
    in.k = complex_integers(g, keys, 2);
    in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
    if (c.is("linear_gate"))
      in.a = exact_gate_tensor<cplx<double>>(g, keys);
    else
      in.log_magnitude = zero_or_reset(g, keys);
    if (c.initial_state)
      in.initial_state = complex_integers(g, {sequence_count(n, c), n.H, n.K, n.V}, 2);
  }
};

}  // namespace support
