// One random problem a recurrence, from its sizes and from which optional operands are present.
// Everything in double; support/run.hpp rounds to the storage under test.
#pragma once

#include "generate.hpp"

namespace support {

using real_elementwise = oracle::elementwise<double>;
using complex_elementwise = oracle::elementwise<cplx<double>>;
using gateloop = oracle::gateloop<double>;
using gla = oracle::gla<double>;
using selective_scan = oracle::selective_scan<double>;

// batches, length, heads (or channels), then rows and columns of a head's state
struct sizes {
  int64 B = 1, L = 1, H = 1, K = 1, V = 1;
  friend std::ostream& operator<<(std::ostream& o, const sizes& s) {
    return o << "B" << s.B << "_L" << s.L << "_H" << s.H << "_K" << s.K << "_V" << s.V;
  }
};

struct options {
  gates gate = gates::mild;
  bool initial_state = true;
  int64 sequences = 0;        // 0: not packed; else B must be 1
  int64 group = 1;            // heads that share one operand head, for some of the operands
  bool complex = true;        // gateloop: q and k complex; complex elementwise: a complex
  bool linear = false;        // gateloop: a instead of log_magnitude and phase
  bool phase = true;          // gateloop: beside log_magnitude
  bool scalar_decay = false;  // gla: [B, L, H, 1]
  bool D = true, z = true, delta_bias = true, softplus = true;
  friend std::ostream& operator<<(std::ostream& o, const options& c) {
    o << c.gate << (c.initial_state ? " initial_state" : "") << " sequences=" << c.sequences
      << " group=" << c.group << (c.complex ? " complex" : "") << (c.linear ? " linear" : "")
      << (c.phase ? " phase" : "") << (c.scalar_decay ? " scalar_decay" : "") << (c.D ? " D" : "")
      << (c.z ? " z" : "");
    return o << (c.delta_bias ? " delta_bias" : "") << (c.softplus ? " softplus" : "");
  }
};

inline int64 sequence_count(const sizes& n, const options& c) {
  return c.sequences > 0 ? c.sequences : n.B;
}

template <class Inputs>
void pack(Inputs& in, const sizes& n, const options& c, generator& g) {
  if (c.sequences > 0) in.sequence_offsets = g.offsets(c.sequences, n.L);
}

inline void make(real_elementwise::inputs& in, const sizes& n, const options& c, generator& g) {
  in.a = g.linear_gates({n.B, n.L, n.H / c.group, n.V}, c.gate);
  in.x = g.normals({n.B, n.L, n.H, n.V});
  if (c.initial_state) in.initial_state = g.normals({sequence_count(n, c), n.H, n.V});
  pack(in, n, c, g);
}

inline void make(complex_elementwise::inputs& in, const sizes& n, const options& c, generator& g) {
  const extents gate_shape{n.B, n.L, n.H / c.group, n.V};
  in.a = c.complex ? g.complex_gates(gate_shape, c.gate)
                   : as_complex(g.linear_gates(gate_shape, c.gate));
  in.x = g.complex_normals({n.B, n.L, n.H, n.V});
  if (c.initial_state) in.initial_state = g.complex_normals({sequence_count(n, c), n.H, n.V});
  pack(in, n, c, g);
}

inline void make(gateloop::inputs& in, const sizes& n, const options& c, generator& g) {
  const extents keys{n.B, n.L, n.H, n.K}, grouped{n.B, n.L, n.H / c.group, n.K};
  in.q = c.complex ? g.complex_normals(keys) : as_complex(g.normals(keys));
  in.k = c.complex ? g.complex_normals(grouped) : as_complex(g.normals(grouped));
  in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
  if (c.linear) {
    in.a = g.complex_gates(grouped, c.gate);
  } else {
    in.log_magnitude = g.log_gates(grouped, c.gate);
    if (c.phase) in.phase = g.phases(keys);
  }
  if (c.initial_state) in.initial_state = g.complex_normals({sequence_count(n, c), n.H, n.K, n.V});
  pack(in, n, c, g);
}

inline void make(gla::inputs& in, const sizes& n, const options& c, generator& g) {
  const extents grouped{n.B, n.L, n.H / c.group, n.K};
  in.q = g.normals({n.B, n.L, n.H, n.K});
  in.k = g.normals(grouped);
  in.v = g.normals({n.B, n.L, n.H / c.group, n.V});
  in.log_decay = g.log_gates({n.B, n.L, n.H, c.scalar_decay ? 1 : n.K}, c.gate);
  if (c.initial_state) in.initial_state = g.normals({sequence_count(n, c), n.H, n.K, n.V});
  in.scale = 0.375;
  pack(in, n, c, g);
}

// channels are H, states K; B and C come in H / group groups
inline void make(selective_scan::inputs& in, const sizes& n, const options& c, generator& g) {
  const extents tokens{n.B, n.L, n.H}, grouped{n.B, n.L, n.H / c.group, n.K};
  in.u = g.normals(tokens);
  in.softplus = c.softplus;
  in.delta = c.softplus ? g.uniforms(tokens, -3, 2) : g.uniforms(tokens, 0.05, 1);
  in.A = tensor<double>({n.H, n.K});
  for (double& a : in.A.data) a = c.gate == gates::one ? 0 : 2 * g.log_gate(c.gate);
  in.B = g.normals(grouped);
  in.C = g.normals(grouped);
  if (c.D) in.D = g.normals({n.H});
  if (c.z) in.z = g.normals(tokens);
  if (c.delta_bias) in.delta_bias = g.uniforms({n.H}, 0.01, 0.5);
  if (c.initial_state) in.initial_state = g.normals({sequence_count(n, c), n.H, n.K});
  pack(in, n, c, g);
}

template <class Recurrence>
typename Recurrence::inputs problem(const sizes& n, const options& c, std::uint64_t seed) {
  generator g(seed);
  typename Recurrence::inputs in;
  make(in, n, c, g);
  return in;
}

// a random gradient of both results
template <class Recurrence>
typename Recurrence::outputs random_gradients(const typename Recurrence::outputs& like,
                                              std::uint64_t seed) {
  generator g(seed);
  typename Recurrence::outputs r = like;
  const auto fill = [&g](const char*, auto& x) {
    for (auto& e : x.data) {
      if constexpr (requires { e.re; })
        e = {g.normal(), g.normal()};
      else
        e = g.normal();
    }
  };
  Recurrence::results(fill, r);
  return r;
}

}  // namespace support
