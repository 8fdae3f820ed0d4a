// h_t = a_t h_{t-1} + x_t and its adjoint g_t = dh_t + conj(a_{t+1}) g_{t+1}, token by token.
#pragma once

#include "../plain_loops.hpp"
#include "../problem.hpp"

namespace support::oracle {

template <class E>
struct elementwise {
  struct inputs {             // gradients have the same shape, so they are an `inputs` too
    tensor<E> a, x;           // [B, L, heads, D]
    tensor<E> initial_state;  // [n, H, D], optional
    std::vector<int64> sequence_offsets;
    int64 heads() const {
      const int64 most = std::max(a.extent(2), x.extent(2));
      return initial_state.given() ? std::max(most, initial_state.extent(1)) : most;
    }
  };
  struct outputs {
    tensor<E> out;          // [B, L, H, D]
    tensor<E> final_state;  // [n, H, D]
  };

  // f(name, operand of each structure...) for every operand, and for every result
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("a", s.a...);
    f("x", s.x...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void results(F f, S&... s) {
    f("out", s.out...);
    f("final_state", s.final_state...);
  }

  // zeros in the shapes of the results
  static outputs blank(const inputs& in) {
    const int64 B = in.x.extent(0), L = in.x.extent(1), H = in.heads(), D = in.x.extent(3);
    return {tensor<E>({B, L, H, D}), tensor<E>({state_count(B, in.sequence_offsets), H, D})};
  }

  static outputs forward(const inputs& in) {
    const int64 H = in.heads(), D = in.x.extent(3);
    outputs r = blank(in);
    for (const sequence& s : sequences(in.x.extent(0), in.x.extent(1), in.sequence_offsets))
      for (int64 h = 0; h < H; ++h)
        for (int64 d = 0; d < D; ++d) {
          E state = in.initial_state.given() ? in.initial_state(s.state, h, d) : E{};
          for (int64 t = s.begin; t < s.end; ++t) {
            state = keep(at(in.a, s.batch, t, h, d, H), state) + at(in.x, s.batch, t, h, d, H);
            r.out(s.batch, t, h, d) = state;
          }
          r.final_state(s.state, h, d) = state;
        }
    return r;
  }

  // dout: what is not given counts as zero
  static inputs backward(const inputs& in, const outputs& dout) {
    const int64 H = in.heads(), D = in.x.extent(3);
    const outputs fwd = forward(in);
    inputs d{zeros_like(in.a), zeros_like(in.x), tensor<E>(fwd.final_state.shape), {}};
    for (const sequence& s : sequences(in.x.extent(0), in.x.extent(1), in.sequence_offsets))
      for (int64 h = 0; h < H; ++h)
        for (int64 c = 0; c < D; ++c) {
          E g = dout.final_state.given() ? dout.final_state(s.state, h, c) : E{};
          for (int64 t = s.end - 1; t >= s.begin; --t) {
            if (dout.out.given()) g += dout.out(s.batch, t, h, c);
            const E first = in.initial_state.given() ? in.initial_state(s.state, h, c) : E{};
            const E before = t > s.begin ? fwd.out(s.batch, t - 1, h, c) : first;
            at(d.x, s.batch, t, h, c, H) += g;
            at(d.a, s.batch, t, h, c, H) += g * conj(before);
            g = keep(conj(at(in.a, s.batch, t, h, c, H)), g);
          }
          d.initial_state(s.state, h, c) = g;
        }
    return d;
  }
};

}  // namespace support::oracle

namespace support {

using real_elementwise = oracle::elementwise<double>;
using complex_elementwise = oracle::elementwise<cplx<double>>;

template <>
struct case_of<real_elementwise> {
  using recurrence = gatescan::elementwise;
  static constexpr std::array<option_switch, 0> switches{};
  static void make(real_elementwise::inputs& in, const sizes& n, const options& c, generator& g) {
    in.a = g.linear_gates({n.B, n.L, n.H / c.group, n.V}, c.gate);
    in.x = g.normals({n.B, n.L, n.H, n.V});
    if (c.initial_state) in.initial_state = g.normals({sequence_count(n, c), n.H, n.V});
  }
  static void make_exact(real_elementwise::inputs& in, const sizes& n, const options& c,
                         generator& g) {
    in.a = exact_gate_tensor<double>(g, {n.B, n.L, n.H / c.group, n.V});
    in.x = integers(g, {n.B, n.L, n.H, n.V}, 3);
    if (c.initial_state) in.initial_state = integers(g, {sequence_count(n, c), n.H, n.V}, 3);
  }
};

template <>
struct case_of<complex_elementwise> {
  using recurrence = gatescan::elementwise;
  static constexpr option_switch switches[] = {
      {"complex", true},  // a complex, or real
  };
  static void make(complex_elementwise::inputs& in, const sizes& n, const options& c,
                   generator& g) {
    const extents gate_shape{n.B, n.L, n.H / c.group, n.V};
    in.a = c.is("complex") ? g.complex_gates(gate_shape, c.gate)
                           : as_complex(g.linear_gates(gate_shape, c.gate));
    in.x = g.complex_normals({n.B, n.L, n.H, n.V});
    if (c.initial_state) in.initial_state = g.complex_normals({sequence_count(n, c), n.H, n.V});
  }
  static void make_exact(complex_elementwise::inputs& in, const sizes& n, const options& c,
                         generator& g) {
    in.a = exact_gate_tensor<cplx<double>>(g, {n.B, n.L, n.H / c.group, n.V});
    in.x = complex_integers(g, {n.B, n.L, n.H, n.V}, 3);
    if (c.initial_state)
      in.initial_state = complex_integers(g, {sequence_count(n, c), n.H, n.V}, 3);
  }
};

}  // namespace support
