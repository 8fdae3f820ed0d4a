#pragma once
// The corrected transition (gated delta rule), one token after another: the definition itself. What
// a token writes is its value less what p reads of the decayed state,
//
//   S'[K, V] = a_t[K] S        0 is a hard reset
//   u[V]     = v_t - S'^T p_t
//   S[K, V]  = S' + k_t u^T      o_t[V] = S^T q_t
//
// p = beta k and v = beta v of the usual form are made by the recurrence's prologue. With
// transition::low_rank p reads before the gate, and what it reads is taken away under a key of its
// own,
//
//   u[V] = -S^T p_t          S_t[K, V] = a_t[K] S + b_t u^T + k_t v_t^T
//
// A panel of columns of the state stays near while every token goes through its keys twice: what it
// reads is not known before all keys are. S' is rounded alone, so that what is read is what is
// corrected.

#include "../../steps/forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// a S, where a gate of exactly 0 selects 0
template <bool Resets, class C>
GATESCAN_INLINE simd::pack<C> decayed(C gate, simd::pack<C> s) {
  if (Resets && gate == 0) return simd::pack<C>(0);
  return added_by(simd::pack<C>(gate), s);
}

// f(key, part) for all keys: sums over keys have so many parts, which do not wait for each other.
inline constexpr index_t sums_over_keys = 4;
template <class F>
GATESCAN_INLINE void for_each_key_apart(index_t keys, F&& f) {
  index_t i = 0;
  for (; i + sums_over_keys <= keys; i += sums_over_keys)
#pragma GCC unroll 4
    for (index_t part = 0; part < sums_over_keys; ++part) f(i + part, part);
  for (; i < keys; ++i) f(i, index_t{0});
}
template <class P>
GATESCAN_INLINE P sum_of_parts(const P (&x)[sums_over_keys]) {
  return (x[0] + x[1]) + (x[2] + x[3]);
}

// The columns [j, j + Vecs registers) of a token's values.
template <std::size_t Vecs, class C>
struct value_panel {
  simd::pack<C> u[Vecs], v[Vecs];
};

// u and v of token t for columns from j on, which `state` points to: rows `pitch` apart.
template <transition Moves, bool Resets, std::size_t Vecs, class C>
GATESCAN_INLINE void correct(const matrix_tiles<C>& x, index_t t, index_t j, const C* state,
                             index_t pitch, value_panel<Vecs, C>& to) {
  using P = simd::pack<C>;
  const C *p = x.p + t * x.n.rows, *a = x.a + t * x.n.rows;
  P read[Vecs][sums_over_keys];
#pragma GCC unroll 16
  for (index_t c = 0; c < index_t{Vecs}; ++c)
    for (P& part : read[c]) part = P(0);
  for_each_key_apart(
      x.n.keys, [&](index_t i, index_t part) __attribute__((always_inline)) {
        const P key(p[i]);
#pragma GCC unroll 4
        for (index_t c = 0; c < index_t{Vecs}; ++c) {
          const P s = simd::load(state + i * pitch + c * simd::lanes<C>);
          const P seen = Moves == transition::low_rank ? s : decayed<Resets>(a[i], s);
          read[c][part] = simd::fma(key, seen, read[c][part]);
        }
      });
#pragma GCC unroll 4
  for (index_t c = 0; c < index_t{Vecs}; ++c) {
    to.v[c] = simd::load(x.v + t * x.n.value_pitch + j + c * simd::lanes<C>);
    const P sum = sum_of_parts(read[c]);
    to.u[c] = Moves == transition::low_rank ? -sum : to.v[c] - sum;
  }
}

// S_t from S_{t-1}, u and v, in place or not, and o if it is asked for.
template <transition Moves, bool Resets, bool Outputs, std::size_t Vecs, class C>
GATESCAN_INLINE void write_corrected(const matrix_tiles<C>& x, index_t t, index_t j, const C* from,
                                     C* to, index_t pitch, const value_panel<Vecs, C>& values) {
  using P = simd::pack<C>;
  constexpr bool low_rank = Moves == transition::low_rank;
  const C *q = x.q + t * x.n.rows, *k = x.k + t * x.n.rows, *a = x.a + t * x.n.rows;
  const C* const b = low_rank ? x.b + t * x.n.rows : k;
  P o[Vecs][sums_over_keys];
#pragma GCC unroll 16
  for (index_t c = 0; c < index_t{Vecs}; ++c)
    for (P& part : o[c]) part = P(0);
  for_each_key_apart(
      x.n.keys, [&](index_t i, index_t part) __attribute__((always_inline)) {
        const C gate = a[i];  // read once: what is stored to might otherwise be these
        const P key(k[i]), under(b[i]), query(q[i]);
#pragma GCC unroll 4
        for (index_t c = 0; c < index_t{Vecs}; ++c) {
          const index_t at = i * pitch + c * simd::lanes<C>;
          P s = simd::fma(under, values.u[c], decayed<Resets>(gate, simd::load(from + at)));
          if (low_rank) s = simd::fma(key, values.v[c], s);
          simd::store(to + at, s);
          if (Outputs) o[c][part] = simd::fma(query, s, o[c][part]);
        }
      });
  if (Outputs)
#pragma GCC unroll 4
    for (index_t c = 0; c < index_t{Vecs}; ++c)
      simd::store(x.o + t * x.n.value_pitch + j + c * simd::lanes<C>, sum_of_parts(o[c]));
}

// Columns [j, j + Vecs registers).
template <transition Moves, bool Resets, std::size_t Vecs, class C>
__attribute__((noinline)) void corrected_steps_of_panel(const matrix_tiles<C>& tiles,
                                                        index_t tokens, index_t j, C* state,
                                                        index_t pitch) {
  const auto x = held(tiles);
  for (index_t t = 0; t < tokens; ++t) {
    value_panel<Vecs, C> values;
    correct<Moves, Resets>(x, t, j, state + j, pitch, values);
    write_corrected<Moves, Resets, true>(x, t, j, state + j, state + j, pitch, values);
  }
}

/// Advances the state, rows `pitch` apart, in place and writes o. between() is called after every
/// panel.
template <transition Moves, class C, class Between = simd::nothing_between>
void corrected_steps(const matrix_tiles<C>& x, index_t tokens, C* state, index_t pitch,
                     Between between = {}) {
  const auto all = [&]<bool Resets>() {
    for_each_panel_of_state<C>(x.n, [&]<std::size_t Vecs>(index_t j) {
      corrected_steps_of_panel<Moves, Resets, Vecs>(x, tokens, j, state, pitch);
      between();
    });
  };
  if (has_reset<false>(x, tokens))
    all.template operator()<true>();
  else
    all.template operator()<false>();
}

/// The kernel of recurrent mode.
template <class C, transition Moves>
struct corrected_token_steps {
  void forward(const token_chunk<C>& c, C* state_out) const {
    const matrix_shape& n = c.x.n;
    c.memory->begin(ceil_divide(n.value_pitch, registers_a_block * simd::lanes<C>));
    if (state_out != c.state_in) copy_numbers(state_out, c.state_in, n.state_size());
    corrected_steps<Moves>(c.x, c.tokens, state_out, n.state_pitch, prefetching{c.memory});
  }
  void advance(const token_chunk<C>& c, C* state_out) const { forward(c, state_out); }
  /// The first token of x, on a state in place.
  void step(const matrix_tiles<C>& x, const state_rows<C>& state) const {
    corrected_steps<Moves>(x, 1, state.re, state.pitch);
  }
};
static_assert(chunk_kernel<corrected_token_steps<float, transition::corrected>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
