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
/// what another row of keys p reads. corrected (the delta rule): p reads the decayed state, and the
/// value itself becomes v - p^T (gate * S). low_rank: p reads the state before the gate, and what
/// it reads is taken away under a key of its own, gate * S - b (p^T S).
enum class transition { diagonal, corrected, low_rank };

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
  /// o is divided by what `denominator` makes of n_t = q_t^T n, where n is one more column of the
  /// state, of values that are all 1. With a gate a state entry o_t is an average, of weights whose
  /// logarithms `log_weights` gives.
  bool normaliser = false;
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
/// The same with transition::low_rank: under b is taken away what p reads.
template <class E>
struct low_rank_keys_of {
  E q, k, gate, p, b;
};

/// The value side of one token at some values. A recurrence whose gates or outputs need more of the
/// same prologue (selective_scan's step size) defines a struct of its own with a member `v`.
template <class E>
struct value_of {
  E v;
};
/// Logarithms of a token's gate and of the weight of what it writes.
template <class E>
struct log_weights_of {
  E gate, key;
};
/// The same of a channel, and what a token's weight has more where it reads its own value: that is
/// e^(key + bonus), of which the sum would lose bits beside a key far from 0.
template <class E>
struct log_weights_and_bonus_of {
  E gate, key, bonus;
};
/// What a token stage makes of a query and a key.
template <class E>
struct query_and_key_of {
  E q, k;
};

/// A value made of an input u that the output sees too.
template <class E>
struct value_and_input_of {
  E v, u;
};

/// A value and a state entry's gate that are made of the same operands.
template <class E>
struct value_and_gate_of {
  E v, gate;
};

/// The part of a gate's exponent that all keys share, and its product with log2_e.
template <class R>
struct exponent_step {
  R step, log2e_step;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
