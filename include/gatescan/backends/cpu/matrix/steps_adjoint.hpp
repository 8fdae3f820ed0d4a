#pragma once
// Matrix states, backward token by token: the definition. States before every token are recomputed
// in pieces.

#include "steps.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Gradients of a run of tokens.
template <class C>
struct matrix_gradients {
  C* d_o = nullptr;                               // in:  [token][value_pitch]
  C *dq = nullptr, *dk = nullptr, *da = nullptr;  // out: [token][rows]
  C* dv = nullptr;                                // out: [token][value_pitch]

  matrix_gradients() = default;
  matrix_gradients(arena& scratch, const matrix_shape& n, index_t tokens) {
    d_o = scratch.take<C>(tokens * n.value_pitch);
    dq = scratch.take<C>(tokens * n.rows), dk = scratch.take<C>(tokens * n.rows);
    da = scratch.take<C>(tokens * n.rows), dv = scratch.take<C>(tokens * n.value_pitch);
  }
};

/// States kept while a run of tokens is walked backwards: one every `spacing` tokens, and all of
/// one piece.
template <class C>
struct replay_states {
  static constexpr index_t most_kept = 64;
  index_t spacing = block_tokens;
  C* kept = nullptr;
  C* piece = nullptr;  // [block_tokens + 1] states

  replay_states() = default;
  replay_states(arena& scratch, const matrix_shape& n, index_t tokens) {
    const index_t pieces = (tokens + block_tokens - 1) / block_tokens;
    const index_t pieces_a_state = pieces > most_kept ? (pieces + most_kept - 1) / most_kept : 1;
    spacing = block_tokens * pieces_a_state;
    kept = scratch.take<C>((tokens + spacing - 1) / spacing * n.state_size());
    piece = scratch.take<C>((block_tokens + 1) * n.state_size());
  }
};

/// On entry `g` is the gradient of the state after the run, on return of `state_in`. x.o is
/// overwritten.
template <bool Complex, class C>
void steps_backward(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C* g,
                    const matrix_gradients<C>& d, const replay_states<C>& w) {
  const matrix_shape& n = x.n;
  const index_t size = n.state_size();
  copy_numbers(w.piece, state_in, size);
  for (index_t t = 0; t < tokens; ++t) {
    if (t % w.spacing == 0) copy_numbers(w.kept + t / w.spacing * size, w.piece, size);
    step_token<Complex>(x, t, w.piece);
  }
  for (index_t first = (tokens - 1) / block_tokens * block_tokens; first >= 0;
       first -= block_tokens) {
    const index_t last = first + block_tokens < tokens ? first + block_tokens : tokens;
    index_t t = first / w.spacing * w.spacing;
    copy_numbers(w.piece, w.kept + t / w.spacing * size, size);
    for (; t < first; ++t) step_token<Complex>(x, t, w.piece);
    for (; t < last; ++t) {
      C* after = w.piece + (t - first + 1) * size;
      copy_numbers(after, after - size, size);
      step_token<Complex>(x, t, after);
    }
    for (t = last - 1; t >= first; --t) {
      const C* before = w.piece + (t - first) * size;
      step_adjoint<Complex>(x, t, before, before + size, d.d_o + t * n.value_pitch, g,
                            d.dq + t * n.rows, d.dk + t * n.rows, d.da + t * n.rows,
                            d.dv + t * n.value_pitch);
    }
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
