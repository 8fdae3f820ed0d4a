#pragma once
// Matrix states (one gate a key): the numbers of one head over a chunk of tokens, as the
// recurrence's prologue left them. Keys and values are padded to whole registers: q = k = v = 0 and
// gate = 1 there. A complex key side has two planes, a row of real parts followed by a row of
// imaginary parts, so that matrix products only ever see real rows.

#include "../../../core/gated_product.hpp"
#include "../../../core/workspace.hpp"
#include "../operands/cursor4.hpp"
#include "../simd/arrays.hpp"
#include "../simd/math.hpp"
#include "../simd/matmul.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

struct matrix_shape {
  index_t keys, values;     // as given
  index_t key_pitch, rows;  // padded keys; rows of the state: one or two planes of them
  index_t padded_values;
  index_t value_pitch;  // the same, with a normaliser's column behind the values if there is one
  index_t state_pitch;  // of a state's rows
  index_t parts;        // of a state: high and, where it pays, low between chunks (carry.hpp)

  template <class C>
  static matrix_shape of(index_t keys, index_t values, bool complex, bool two_parts,
                         bool normalised = false) {
    const index_t kp = padded<C>(keys), rows = complex ? 2 * kp : kp;
    const index_t vp = padded<C>(values + (normalised ? 1 : 0));
    return {keys, values, kp, rows, padded<C>(values), vp, spread<C>(vp), two_parts ? 2 : 1};
  }

  index_t part_size() const { return rows * state_pitch; }
  index_t state_size() const { return parts * part_size(); }

 private:
  // Rows 512 bytes apart fall on an eighth of the cache's sets and evict each other.
  template <class C>
  static index_t spread(index_t pitch) {
    constexpr index_t line = 64 / static_cast<index_t>(sizeof(C));
    return pitch % (8 * line) == 0 ? pitch + line : pitch;
  }
};

/// The normaliser's number of a row of values; what is left of its register is 0.
template <class C>
GATESCAN_INLINE void put_in_column(const matrix_shape& n, C* row, C x) {
  if (n.values == n.padded_values) simd::store(row + n.values, simd::pack<C>(0));
  row[n.values] = x;
}

template <class C>
struct matrix_tiles {
  matrix_shape n{};
  C *q = nullptr, *k = nullptr, *a = nullptr;  // [token][rows]
  C* p = nullptr;                              // [token][rows], where a transition corrects
  C* b = nullptr;                              // [token][rows], with transition::low_rank
  C* own = nullptr;                            // [token][rows], with readout::exclusive
  C *v = nullptr, *o = nullptr;                // [token][value_pitch]
  C* head_gate = nullptr;       // [token]: instead of `a` where all keys have one gate
  double* log_gates = nullptr;  // [rows], or one with head_gate: sums over the chunk, where gates
                                // have logarithms

  matrix_tiles() = default;
  matrix_tiles(arena& scratch, const matrix_shape& shape, index_t tokens, recurrence_form form = {})
      : n(shape) {
    q = scratch.take<C>(tokens * n.rows), k = scratch.take<C>(tokens * n.rows);
    a = scratch.take<C>(tokens * n.rows);
    v = scratch.take<C>(tokens * n.value_pitch), o = scratch.take<C>(tokens * n.value_pitch);
    if (form.moves != transition::diagonal) p = scratch.take<C>(tokens * n.rows);
    if (form.moves == transition::low_rank) b = scratch.take<C>(tokens * n.rows);
    if (form.reads == readout::exclusive) own = scratch.take<C>(tokens * n.rows);
  }
};

/// Their gradients, as kernels leave them for the recurrence's adjoints.
template <class C>
struct matrix_gradients {
  C* d_o = nullptr;                               // in:  [token][value_pitch]
  C *dq = nullptr, *dk = nullptr, *da = nullptr;  // out: [token][rows]; da [token] of a head gate
  C *dp = nullptr, *db = nullptr;                 // out: [token][rows], as p and b
  C* d_own = nullptr;                             // out: [token][rows], as own
  C* dv = nullptr;                                // out: [token][value_pitch]

  matrix_gradients() = default;
  matrix_gradients(arena& scratch, const matrix_shape& n, index_t tokens,
                   recurrence_form form = {}) {
    d_o = scratch.take<C>(tokens * n.value_pitch);
    dq = scratch.take<C>(tokens * n.rows), dk = scratch.take<C>(tokens * n.rows);
    da = scratch.take<C>(tokens * n.rows), dv = scratch.take<C>(tokens * n.value_pitch);
    if (form.moves != transition::diagonal) dp = scratch.take<C>(tokens * n.rows);
    if (form.moves == transition::low_rank) db = scratch.take<C>(tokens * n.rows);
    if (form.reads == readout::exclusive) d_own = scratch.take<C>(tokens * n.rows);
  }
};

// One register of a row of keys: real, or real and imaginary planes.
template <bool IsComplex, class C>
GATESCAN_INLINE element_t<C, IsComplex> load_keys(const C* row, index_t i, index_t pitch) {
  if constexpr (IsComplex)
    return {simd::load(row + i), simd::load(row + pitch + i)};
  else
    return simd::load(row + i);
}
template <bool IsComplex, class C>
GATESCAN_INLINE void store_keys(C* row, index_t i, index_t pitch, element_t<C, IsComplex> x) {
  if constexpr (IsComplex) {
    simd::store(row + i, x.re);
    simd::store(row + pitch + i, x.im);
  } else {
    simd::store(row + i, x);
  }
}
// Four neighbouring registers of it.
template <bool IsComplex, class C>
GATESCAN_INLINE auto load_quad(const C* row, index_t pitch) {
  constexpr index_t lanes = simd::lanes<C>;
  if constexpr (IsComplex)
    return cplx<simd::pack4<C>>{load_quad<false>(row, pitch), load_quad<false>(row + pitch, pitch)};
  else
    return simd::pack4<C>{simd::load(row), simd::load(row + lanes), simd::load(row + 2 * lanes),
                          simd::load(row + 3 * lanes)};
}
template <class C>
GATESCAN_INLINE void store_quad(C* row, index_t, simd::pack4<C> x) {
  constexpr index_t lanes = simd::lanes<C>;
  simd::store(row, x.a);
  simd::store(row + lanes, x.b);
  simd::store(row + 2 * lanes, x.c);
  simd::store(row + 3 * lanes, x.d);
}
template <class C>
GATESCAN_INLINE void store_quad(C* row, index_t pitch, cplx<simd::pack4<C>> x) {
  store_quad(row, pitch, x.re);
  store_quad(row + pitch, pitch, x.im);
}
// acc + Re(a b)
template <class C>
GATESCAN_INLINE simd::pack<C> add_real_product(simd::pack<C> a, simd::pack<C> b,
                                               simd::pack<C> acc) {
  return simd::fma(a, b, acc);
}
template <class C>
GATESCAN_INLINE simd::pack<C> add_real_product(cplx<simd::pack<C>> a, cplx<simd::pack<C>> b,
                                               simd::pack<C> acc) {
  return simd::fma(a.re, b.re, simd::fma(-a.im, b.im, acc));
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
