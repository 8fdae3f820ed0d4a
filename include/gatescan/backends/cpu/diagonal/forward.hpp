#pragma once
// Diagonal states, forward: token by token, as a local scan plus the decayed incoming state, and as
// surrogate attention.

#include "tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// h_t = a_t h_{t-1} + k_t v_t as it stands; a gate of exactly 0 selects the new input.
struct sequential_states {
  template <bool Complex, class C>
  struct walk {
    using E = element_t<C, Complex>;
    E h;
    GATESCAN_INLINE explicit walk(E in) : h(in) {}
    GATESCAN_INLINE E next(E a, E x) {
      h = reset_to(a, x, fma(a, h, x));
      return h;
    }
  };

  /// The same against time. What goes on to the token before is rounded on its own, as a state is,
  /// so that a run may end anywhere.
  template <bool Complex, class C>
  struct adjoint {
    using E = element_t<C, Complex>;
    E carried;
    GATESCAN_INLINE explicit adjoint(E out) : carried(out) {}
    GATESCAN_INLINE E gradient(E d) const { return carried + d; }
    GATESCAN_INLINE void pass(E a, E gradient) {
      carried = reset_to(a, constant<Complex>(C(0)), conj(a) * gradient);
    }
  };
};

/// h_t = (prod of gates since the run began) h_in + local_t, local_t from 0. Rounding errors of a
/// long sum then grow with the number of runs, not of tokens: at gate 1 and L = 2^20, 7e-7 instead
/// of 1.6e-5 in float.
struct local_states {
  template <bool Complex, class C>
  struct walk {
    using E = element_t<C, Complex>;
    E in, local = constant<Complex>(C(0)), product = constant<Complex>(C(1)), linked = product;
    GATESCAN_INLINE explicit walk(E state) : in(state) {}
    GATESCAN_INLINE E next(E a, E x) {
      local = reset_to(a, x, fma(a, local, x));
      product = a * product;
      linked =
          reset_to(a, constant<Complex>(C(0)), linked);  // 0 once a reset cut the run off from h_in
      return reset_to(linked, local, fma(product, in, local));
    }
  };

  template <bool Complex, class C>
  struct adjoint {
    using E = element_t<C, Complex>;
    walk<Complex, C> sum;
    E carried, gate = constant<Complex>(C(1));
    GATESCAN_INLINE explicit adjoint(E out) : sum(out), carried(out) {}
    GATESCAN_INLINE E gradient(E d) { return sum.next(conj(gate), d); }
    GATESCAN_INLINE void pass(E a, E gradient) {
      gate = a;
      carried = reset_to(a, constant<Complex>(C(0)), conj(a) * gradient);
    }
  };
};

/// o of every token and the state after them. `States` is one of the above. With `history` every
/// state is written there.
template <class States, bool Complex, class C>
void diagonal_run(const diagonal_tiles<C, Complex>& x, index_t tokens, planes<C, Complex> in,
                  planes<C, Complex> out, bool with_o, planes<C, Complex> history = {}) {
  using E = element_t<C, Complex>;
  const diagonal_shape& n = x.n;
  for (index_t w = 0; w < n.width; w += simd::lanes<C>)
    for (index_t i = 0; i < n.keys; ++i) {
      typename States::template walk<Complex, C> state(in.load(i * n.width + w));
      E h = in.load(i * n.width + w);
      for (index_t t = 0; t < tokens; ++t) {
        h = state.next(x.a.load(x.at(t, i, w)), x.input(t, i, w));
        if (history.re != nullptr) history.store(x.at(t, i, w), h);
        if (!with_o) continue;
        const E y = x.read(t, i, w, h);
        x.o.store(t * n.width + w, i == 0 ? y : x.o.load(t * n.width + w) + y);
      }
      out.store(i * n.width + w, h);
    }
}

/// o_t = sum_{s<=t} P_ts v_s + (decayed q_t) h_in, P_ts = sum_n q_t[n] k_s[n] prod_{j=s+1..t}
/// a_j[n], one channel a lane.
template <bool Complex, class C>
void diagonal_attention(const diagonal_tiles<C, Complex>& x, index_t tokens, planes<C, Complex> in,
                        planes<C, Complex> decayed_queries) {
  using E = element_t<C, Complex>;
  const diagonal_shape& n = x.n;
  const auto zero = constant<Complex>(C(0)), one = constant<Complex>(C(1));
  for (index_t w = 0; w < n.width; w += simd::lanes<C>)
    for (index_t t = 0; t < tokens; ++t) {
      for (index_t i = 0; i < n.keys; ++i)
        decayed_queries.store(i * simd::lanes<C>, n.unit_keys ? one : x.q.load(x.at(t, i, w)));
      E o = zero;
      for (index_t s = t; s >= 0; --s) {
        E score = zero;
        for (index_t i = 0; i < n.keys; ++i) {
          const E q = decayed_queries.load(i * simd::lanes<C>);
          score = n.unit_keys ? q : fma(q, x.k.load(x.at(s, i, w)), score);
          decayed_queries.store(i * simd::lanes<C>, q * x.a.load(x.at(s, i, w)));
        }
        o = fma(score, x.v.load(s * n.width + w), o);
      }
      for (index_t i = 0; i < n.keys; ++i)
        o = fma(decayed_queries.load(i * simd::lanes<C>), in.load(i * n.width + w), o);
      x.o.store(t * n.width + w, o);
    }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
