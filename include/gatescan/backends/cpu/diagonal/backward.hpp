#pragma once
// Diagonal states, backward over a run of tokens: states are recomputed, then the same scan runs
// against time.

#include "forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool Complex>
struct diagonal_gradients {
  planes<C, Complex> d_o{};             // in:  [token][width]
  planes<C, Complex> dq{}, dk{}, da{};  // out: [token][key][width]
  planes<C, Complex> dv{};              // out: [token][width]
  planes<C, Complex> history{};         // states after every token

  diagonal_gradients() = default;
  diagonal_gradients(arena& scratch, const diagonal_shape& n, index_t tokens) {
    const index_t entries = tokens * n.state_size();
    d_o = {scratch, tokens * n.width}, dv = {scratch, tokens * n.width};
    if (!n.unit_keys) dq = {scratch, entries}, dk = {scratch, entries};
    da = {scratch, entries}, history = {scratch, entries};
  }
};

/// g: gradient of the state after the run on entry, of the state before it on return.
template <class States, bool Complex, class C>
void diagonal_run_backward(const diagonal_tiles<C, Complex>& x, index_t tokens,
                           planes<C, Complex> in, planes<C, Complex> g,
                           const diagonal_gradients<C, Complex>& d, planes<C, Complex> end_state) {
  using E = element_t<C, Complex>;
  const diagonal_shape& n = x.n;
  diagonal_run<States>(x, tokens, in, end_state, false, d.history);
  for (index_t w = 0; w < n.width; w += simd::lanes<C>)
    for (index_t i = 0; i < n.keys; ++i) {
      typename States::template adjoint<Complex, C> adjoint(g.load(i * n.width + w));
      for (index_t t = tokens - 1; t >= 0; --t) {
        const index_t at = x.at(t, i, w), row = t * n.width + w;
        const E d_o = d.d_o.load(row);
        const E gt = adjoint.gradient(n.unit_keys ? d_o : conj(x.q.load(at)) * d_o);
        const E before = t > 0 ? d.history.load(x.at(t - 1, i, w)) : in.load(i * n.width + w);
        d.da.store(at, gt * conj(before));
        E dv = gt;
        if (!n.unit_keys) {
          d.dq.store(at, d_o * conj(d.history.load(at)));
          d.dk.store(at, gt * conj(x.v.load(row)));
          dv = gt * conj(x.k.load(at));
        }
        d.dv.store(row, i == 0 ? dv : d.dv.load(row) + dv);
        adjoint.pass(x.a.load(at), gt);
      }
      g.store(i * n.width + w, adjoint.carried);
    }
}

/// The gradient of the state before the run only.
template <bool Complex, class C>
void diagonal_retreat(const diagonal_tiles<C, Complex>& x, index_t tokens, planes<C, Complex> g,
                      planes<C, Complex> d_o) {
  using E = element_t<C, Complex>;
  const diagonal_shape& n = x.n;
  const E zero = constant<Complex>(C(0));
  for (index_t w = 0; w < n.width; w += simd::lanes<C>)
    for (index_t i = 0; i < n.keys; ++i) {
      E gt = g.load(i * n.width + w);
      for (index_t t = tokens - 1; t >= 0; --t) {
        const E d = d_o.load(t * n.width + w), a = x.a.load(x.at(t, i, w));
        gt = gt + (n.unit_keys ? d : conj(x.q.load(x.at(t, i, w))) * d);
        gt = reset_to(a, zero, conj(a) * gt);
      }
      g.store(i * n.width + w, gt);
    }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
