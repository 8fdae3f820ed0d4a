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
  template <class X, class At>
  GATESCAN_HD GATESCAN_INLINE static auto values(const X& x, const At& at) {
    return value_of<decltype(at(x.v))>{at(x.v)};
  }
  template <class X, class D, class At, class Values>
  GATESCAN_HD GATESCAN_INLINE static void values_adjoint(const X&, const D& d, const At& at,
                                                         const Values&, const Values& d_values) {
    at.add(d.v, d_values.v);
  }
};

/// For a recurrence whose output is the product's o as it stands, or the state h of its own `step`.
/// Not to be overridden: backward does not compute o for who inherits it.
struct plain_output {
  template <class X, class At, class Values, class E>
  GATESCAN_HD GATESCAN_INLINE static E output(const X&, const At&, const Values&, E o) {
    return o;
  }
  template <class X, class D, class At, class Values, class E>
  GATESCAN_HD GATESCAN_INLINE static E output_adjoint(const X&, const D&, const At&, const Values&,
                                                      Values&, E, E d_out) {
    return d_out;
  }
  template <class X, class D, class At, class Values, class E>
  GATESCAN_HD GATESCAN_INLINE static void output_adjoint(const X&, const D&, const At&,
                                                         const Values&, Values&, E, E d_out,
                                                         E& d_h) {
    d_h = d_h + d_out;
  }
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
