#pragma once
// A recurrence lowered to the product of its numbers: its prologue leaves q, k, gates and v of all
// tokens in scratch, as rows of the state's numbers, and programs of matrix states then work on
// those. They know no recurrence any more, so that they are compiled once for all lowered ones.

#include "../../../../core/result_types.hpp"
#include "../tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// S_t = diag(gate_t) S_{t-1} + k_t v_t^T,   out_t = S_t^T q_t
struct row_product : matrix_state<row_product>, plain_values, plain_output {
  static constexpr const char* name = "row_product";
  using adds_once = row_product;
  static constexpr recurrence_form form{.gate = gate_span::key};

  template <class V>
  struct fields {
    using recurrence = row_product;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{}, gate{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("gate", axes{batch, time, head, key}, required, s.gate...);
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    return keys_of<decltype(at(x.q))>{at(x.q), at(x.k), at(x.gate)};
  }
  GATESCAN_MEMBER bool has_head_gate(const auto& x) { return x.gate.one_key; }
  // whose gradient has a number a key all the same: the prologue's adjoint adds them up
  GATESCAN_MEMBER auto without_gate(auto d) { return d; }
  GATESCAN_MEMBER void keys_adjoint(const auto&, const auto& d, const auto& at, const auto& g) {
    at.add(d.q, g.q), at.add(d.k, g.k), at.add(d.gate, g.gate);
  }
};

/// [batch][time][head] of rows: keys of q, k, gates and p, values of v.
template <class C>
struct token_rows {
  C *q = nullptr, *k = nullptr, *gate = nullptr, *v = nullptr;
  C* p = nullptr;  // with a corrected transition
};

inline index_t row_count(const sizes& n) { return n.batch * n.time * n.heads; }
/// The row of a token.
GATESCAN_HD inline index_t row_at(const sizes& n, index_t batch, index_t time, index_t head) {
  return (batch * n.time + time) * n.heads + head;
}
template <class C>
C* take_key_rows(arena& memory, const sizes& n) {
  return memory.take<C>(row_count(n) * n.keys);
}
template <class C>
C* take_value_rows(arena& memory, const sizes& n) {
  return memory.take<C>(row_count(n) * n.values);
}

/// Where a token's numbers lie among rows.
struct token_place {
  index_t token;  // of [batch][time][head]
  index_t row;    // of k and v
  index_t query;  // of q, o and its gradient
  index_t gate;   // of the gate and p
};

/// With readout::exclusive a query lies in the row before its token's, whose state it reads: rows
/// begin with one that writes nothing, and the last one has no query. What a query reads of its own
/// token is added in the epilogue. With transition::low_rank a token has two rows: one with its
/// gate, p, and b for a key, and one with k, v and q, whose gate is 1. A row of values, of o and of
/// its gradient has one column more where there is a normaliser: values that are all 1, and n_t.
template <class R>
struct row_layout {
  static constexpr bool exclusive = R::form.reads == readout::exclusive,
                        low_rank = R::form.moves == transition::low_rank;
  static constexpr bool differ = exclusive || low_rank;  // rows from tokens
  static constexpr index_t a_token = low_rank ? 2 : 1;
  static_assert(!exclusive || !low_rank);
  sizes n;  // of tokens
  time_split sequences;
  index_t* offsets = nullptr;  // of rows, where they are not those of tokens
  bool has_normaliser;

  template <class T>
  explicit row_layout(const problem_of<R, T>& p)
      : n(p.n), sequences(p.n, p.offsets, p.n.time), has_normaliser(p.normalised) {}
  GATESCAN_HD bool normalised() const { return R::form.normaliser && has_normaliser; }
  /// Numbers in a row of values.
  GATESCAN_HD index_t values() const { return normalised() ? n.values + 1 : n.values; }
  void take(arena& memory) {
    if (differ) offsets = memory.take<index_t>(n.sequences + 1);
  }
  sizes of_rows() const {
    sizes rows = n;
    rows.values = values();
    rows.time *= a_token;
    if (exclusive) rows.time += sequences.packed ? n.sequences : 1;
    return rows;
  }
  const index_t* offsets_of_rows() const {
    return differ && sequences.offsets != nullptr ? offsets : sequences.offsets;
  }
  /// The rows before a sequence's that no token has.
  GATESCAN_HD index_t between(index_t sequence) const {
    return exclusive && sequences.packed ? sequence : 0;
  }
  GATESCAN_HD index_t row(index_t batch, index_t time, index_t head) const {
    const index_t more = !exclusive ? 0 : sequences.packed ? n.sequences : 1;
    return (batch * (n.time * a_token + more) + time) * n.heads + head;
  }
  GATESCAN_HD token_place place(index_t sequence, index_t time, index_t head) const {
    const index_t batch = sequences.batch_of(sequence);
    const index_t token = row_at(n, batch, time, head),
                  first = row(batch, time * a_token + between(sequence), head);
    if (exclusive) return {token, first + n.heads, first, first + n.heads};
    const index_t last = low_rank ? first + n.heads : first;
    return {token, last, last, first};
  }
};

template <class S>
operand<S> operand_of_rows(S* rows, const sizes& n, index_t width) {
  operand<S> x;
  x.re = rows, x.given = true;
  x.head = width, x.time = n.heads * width, x.batch = n.time * x.time;
  return x;
}
/// Rows as operands; a plan's have no memory yet.
template <class S>
operand<S> key_rows(S* rows, const sizes& n) {
  operand<S> x = operand_of_rows(rows, n, n.keys);
  x.key = 1;
  return x;
}
template <class S>
operand<S> value_rows(S* rows, const sizes& n) {
  operand<S> x = operand_of_rows(rows, n, n.values);
  x.value = 1;
  return x;
}

template <class T>
problem_of<row_product, T> problem_of_rows(const sizes& n, const index_t* offsets,
                                           const token_rows<state_t<T>>& rows) {
  problem_of<row_product, T> p;
  p.n = n, p.offsets = offsets;
  using C = state_t<T>;
  p.x.q = key_rows<const C>(rows.q, n), p.x.k = key_rows<const C>(rows.k, n);
  p.x.gate = key_rows<const C>(rows.gate, n), p.x.v = value_rows<const C>(rows.v, n);
  return p;
}

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
