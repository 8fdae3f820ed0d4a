#pragma once
// The vocabulary of a recurrence of the family
//
//   S_t = gate_t * S_{t-1} + k_t v_t^T        o_t = q_t^T S_t        S in K x V
//
// A recurrence says how its operands become q, k, gate and v (the prologue), how o becomes the
// output (the epilogue), and the vector-Jacobian products of both. Everything else (modes,
// backward, threads, backends) follows from that.

#include "complex.hpp"
#include "math.hpp"
#include "operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// How many gates a token has: one a head, one a key (a row of the state), or one a state entry
/// (diagonal recurrences over channels).
enum class gate_span { head, key, entry };

/// What a token does to the state before it adds k v^T: multiplies by the gate, or also takes away
/// what is stored under another row of keys p (the delta rule): v becomes v - p^T (gate * S).
enum class transition { diagonal, corrected };

/// What a query reads: the state after its own token, or the one before it, and its own token by a
/// key of its own: o_t = q_t^T (S_{t-1} + own_t v_t^T).
enum class readout { inclusive, exclusive };

/// Which numbers gates and states are: `either` decides by the operands given (any imaginary part
/// makes it complex).
enum class numbers { real, complex, either };

/// What a recurrence is to the kernels: the only thing about it that they are chosen by.
struct recurrence_form {
  gate_span gate = gate_span::key;
  transition moves = transition::diagonal;
  readout reads = readout::inclusive;
  numbers number = numbers::real;
};

/// The key side of one token at some keys. E is a register or a complex pair of registers.
template <class E>
struct keys_of {
  E q, k, gate;
};
/// The same with readout::exclusive: `own` is the key under which q reads its own token's value.
template <class E>
struct keys_and_own_of {
  E q, k, gate, own;
};
/// The same with transition::corrected: p reads what is taken away from the values.
template <class E>
struct corrected_keys_of {
  E q, k, gate, p;
};

/// The value side of one token at some values. A recurrence whose gates or outputs need more of the
/// same prologue (selective_scan's step size) defines a struct of its own with a member `v`.
template <class E>
struct value_of {
  E v;
};

/// The part of a gate's exponent that all keys share, and its product with log2_e.
template <class R>
struct exponent_step {
  R step, log2e_step;
};

/// For a recurrence whose value is one operand v as it stands.
struct plain_values {
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    return value_of<decltype(at(x.v))>{at(x.v)};
  }
  GATESCAN_MEMBER void values_adjoint(const auto&, const auto& d, const auto& at, const auto&,
                                      const auto& d_w) {
    at.add(d.v, d_w.v);
  }
};

/// For a recurrence whose output is the product's o as it stands, or the state h of its own `step`.
/// Not to be overridden: backward does not compute o for who inherits it.
struct plain_output {
  template <class E>
  GATESCAN_MEMBER E output(const auto&, const auto&, const auto&, E o) {
    return o;
  }
  template <class E>
  GATESCAN_MEMBER E output_adjoint(const auto&, const auto&, const auto&, const auto&, auto&, E,
                                   E d_out) {
    return d_out;
  }
  template <class E>
  GATESCAN_MEMBER void output_adjoint(const auto&, const auto&, const auto&, const auto&, auto&, E,
                                      E d_out, E& d_h) {
    d_h = d_h + d_out;
  }
};

/// For a recurrence whose output is (o + D u) silu(z), with operands D and z if they are given and
/// u a member of what `values` returns.
struct skip_and_gated_output {
  GATESCAN_MEMBER auto output(const auto& x, const auto& at, const auto& w, auto o) {
    if (x.D.given) o = fma(at(x.D), w.u, o);
    if (x.z.given) o = o * silu(at(x.z));
    return o;
  }
  GATESCAN_MEMBER auto output_adjoint(const auto& x, const auto& d, const auto& at, const auto& w,
                                      auto& d_w, auto o, auto d_out) {
    if (x.z.given) {
      const auto gate = silu_with_slope(at(x.z));
      if (x.D.given) o = fma(at(x.D), w.u, o);
      at.add(d.z, d_out * o * gate.slope);
      d_out = d_out * gate.value;
    }
    if (x.D.given) {
      at.add(d.D, d_out * w.u);
      d_w.u = d_w.u + d_out * at(x.D);
    }
    return d_out;
  }
};

/// For a recurrence whose gate a state entry is e^(step A) of an operand A and of a step that does
/// not depend on the key: `values` returns it as `step` and, times log2_e, as `log2e_step`.
struct exponential_gate_of_A {
  GATESCAN_MEMBER auto gate(const auto& x, const auto& at, const auto& w) {
    return exp_of_product(w.step, w.log2e_step, at(x.A));
  }
  GATESCAN_MEMBER auto gate_step(const auto& w) {
    return exponent_step<decltype(w.step + w.step)>{w.step, w.log2e_step};
  }
  GATESCAN_MEMBER auto gate_factor(const auto& x, const auto& at) { return at(x.A); }

  GATESCAN_MEMBER void gate_adjoint(const auto& x, const auto& d, const auto& at, const auto& w,
                                    auto& d_w, auto a, auto d_gate) {
    const auto d_exponent = unless_zero(a, d_gate * a);
    d_w.step = fma(d_exponent, unless_zero(a, at(x.A)), d_w.step);
    at.add(d.A, d_exponent * w.step);
  }
  GATESCAN_MEMBER void gate_step_adjoint(auto& d_w, auto d_step) { d_w.step = d_w.step + d_step; }
  GATESCAN_MEMBER void gate_factor_adjoint(const auto& d, const auto& at, auto d_factor) {
    at.add(d.A, d_factor);
  }
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
