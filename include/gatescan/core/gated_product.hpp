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

/// One gate a key (a row of the state: matrix states), or one a state entry (diagonal recurrences
/// over channels).
enum class gating { per_key, per_entry };

/// Which numbers gates and states are: `either` decides by the operands given (any imaginary part
/// makes it complex).
enum class numbers { real, complex, either };

/// The key side of one token at some keys. E is a register or a complex pair of registers.
template <class E>
struct keys_of {
  E q, k, gate;
};

/// The value side of one token at some values. A recurrence whose gates or outputs need more of the
/// same prologue (selective_scan's step size) defines a struct of its own with a member `v`.
template <class E>
struct value_of {
  E v;
};

/// For a recurrence whose output is o as it stands.
struct plain_output {
  template <class X, class At, class Values, class E>
  static E output(const X&, const At&, const Values&, E o) {
    return o;
  }
  template <class X, class D, class At, class Values, class E>
  static E output_adjoint(const X&, const D&, const At&, const Values&, Values&, E, E d_out) {
    return d_out;
  }
};

/// For a recurrence whose value is one operand v as it stands.
struct plain_values {
  template <class X, class At>
  static auto values(const X& x, const At& at) {
    return value_of<decltype(at(x.v))>{at(x.v)};
  }
  template <class X, class D, class At, class Values>
  static void values_adjoint(const X&, const D& d, const At& at, const Values&,
                             const Values& d_values) {
    at.add(d.v, d_values.v);
  }
};

/// Problem and result types of a recurrence with a real state [sequences, heads, keys, values] and
/// out [batch, time, heads, values].
template <class Recurrence>
struct matrix_state {
  static constexpr axes out_axes{axis::batch, axis::time, axis::head, axis::value};
  static constexpr axes state_axes{axis::sequence, axis::head, axis::key, axis::value};

  template <class T>
  struct problem {
    using recurrence = Recurrence;
    using format = T;
    index_t batch = 1, time = 0, heads = 1, keys = 1, values = 1;
    index_t sequences = 0;  // packed sequences, when batch is 1; 0: as many as batch

    sizes size() const { return {sequences ? sequences : batch, batch, time, heads, keys, values}; }
  };
  template <class T>
  struct outputs {
    view<storage_t<T>> out{};
    view<state_t<T>> final_state{};
  };
  template <class T>
  struct output_gradients {
    view<const storage_t<T>> out{};
    view<const state_t<T>> final_state{};
  };
  template <class T>
  using state = view<state_t<T>>;
  template <class T>
  using token_out = view<storage_t<T>>;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
