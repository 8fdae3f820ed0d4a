#pragma once
// Token by token beside a chunk's fast form, in memory of its own: what the fast form left that is
// not finite is taken from there.

#include "backward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
void replace_non_finite_state(C* state, const C* exact, const matrix_shape& n) {
  for (index_t i = 0; i < n.parts * n.rows; ++i)
    replace_non_finite(state + i * n.state_pitch, exact + i * n.state_pitch, n.value_pitch);
}

template <class C, bool IsComplex, readout Reads = readout::inclusive>
class exact_steps {
 public:
  exact_steps() = default;
  exact_steps(arena& scratch, const matrix_shape& n, index_t tokens) {
    state_ = scratch.take<C>(n.state_size());
    o_ = scratch.take<C>(tokens * n.value_pitch);
  }

  /// o and S_out, if there is room for it.
  void forward(const token_chunk<C>& c, C* state_out) const {
    forward_from(begin(c), c, state_out);
  }
  /// S_out alone, where queries may not have been read.
  void advance(const token_chunk<C>& c, C* state_out) const {
    fill(c.x.q, c.tokens * c.x.n.rows, C(0));
    take_steps(begin(c), c);
    replace_non_finite_state(state_out, state_, c.x.n);
  }
  /// The same where the state is not what it stands for: `begin` copies S_in for the caller to
  /// change.
  C* begin(const token_chunk<C>& c) const {
    const matrix_shape& n = c.x.n;
    copy_numbers(state_, c.state_in, n.part_size());
    fill(state_ + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
    return state_;
  }
  void forward_from(C* state, const token_chunk<C>& c, C* state_out) const {
    take_steps(state, c);
    replace_non_finite(c.x.o, o_, c.tokens * c.x.n.value_pitch);
    if (state_out != nullptr) replace_non_finite_state(state_out, state_, c.x.n);
  }

 private:
  void take_steps(C* state, const token_chunk<C>& c) const {
    matrix_tiles<C> exact = c.x;
    exact.o = o_;
    steps_forward<IsComplex, Reads>(exact, c.tokens, state, state);
  }

  C *state_ = nullptr, *o_ = nullptr;
};

template <class C, bool IsComplex, readout Reads = readout::inclusive>
class exact_steps_adjoint {
 public:
  exact_steps_adjoint() = default;
  exact_steps_adjoint(arena& scratch, const matrix_shape& n, index_t tokens)
      : d_(scratch, n, tokens, {.reads = Reads}), scratch_(scratch, tokens, IsComplex) {}

  /// Gradients of q, k, own and v, and g_in; g is used up. Those of gates, which keys may share,
  /// are the caller's to take from what this returns.
  const C* backward(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g, C* g_in) const {
    const matrix_shape& n = c.x.n;
    matrix_gradients<C> exact = d_;
    exact.d_o = d.d_o;
    fill(g + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
    steps_backward<IsComplex, Reads>(c.x, c.tokens, c.state_in, g, exact, scratch_);
    replace_rows(n, c.tokens, d.dq, exact.dq);
    replace_rows(n, c.tokens, d.dk, exact.dk);
    if constexpr (Reads == readout::exclusive) replace_rows(n, c.tokens, d.d_own, exact.d_own);
    replace_non_finite(d.dv, exact.dv, c.tokens * n.value_pitch);
    replace_non_finite_state(g_in, g, n);
    return exact.da;
  }
  /// Rows of keys, without their padding.
  static void replace_rows(const matrix_shape& n, index_t tokens, C* to, const C* exact) {
    for (index_t at = 0; at < tokens * n.rows; at += n.key_pitch)
      replace_non_finite(to + at, exact + at, n.keys);
  }

 private:
  matrix_gradients<C> d_{};
  steps_adjoint_scratch<C> scratch_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
