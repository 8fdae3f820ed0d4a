#pragma once
// The gradients of a diagonal recurrence: every segment from its last run of tokens to its first.

#include "adjoint.hpp"
#include "collect.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

template <class R, class T, bool Complex, int Keys>
struct differentiate : adjoint_task<R, T, Complex, Keys> {
  using base = adjoint_task<R, T, Complex, Keys>;
  using share = typename base::share;
  using C = typename base::C;
  using S = typename base::S;
  using E = typename base::E;
  using W = typename base::W;
  using again = typename base::again;
  using collector_type = collector<R, T, Complex, Keys, share::run>;
  using sums = typename collector_type::sums;
  collector_type collect;
  table<double, Complex> gradients;  // of the states at the ends of segments, where time is cut
  operand<const C> final_state;      // its gradient
  gradient_sink<C, C> initial_state;

  index_t blocks() const { return this->blocks_for(this->cut.slots()); }
  int shared_bytes() const { return collect.shared_bytes(); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t a_slot = this->map.blocks_a_slot();
    const segment s = this->cut.at(block.index() / a_slot);
    const lane l = this->map.at(block.index() % a_slot, block.thread());
    const share here = this->seek(l, s.batch);
    const auto staged = block.template shared<C>(collect.rows.size() * (collect.complex ? 2 : 1));
    list<W, Keys> after;
    if (gradients.first != nullptr)
      this->load_row(gradients, s.slot, l, here, after);
    else
      this->load_state(final_state, s.sequence, l, here, after);
    list<E, Keys> g;
    for (int n = 0; n < Keys; ++n) g[n] = make<E>::from(after[n]);

    sums own{};
    typename collector_type::wide_sums total{};
    const operand<const S> own_d_out = this->d_out.lane(s.batch, l.head, l.value);
    base::for_each_run_backwards(s, [&]<bool Full>(index_t t, int count) {
      again r;
      this->template run_once_more<Full>(block, here, l, s, t, count, r);
      for (int i = share::run - 1; i >= 0; --i) {
        if (!Full && i >= count) continue;
        collector_type::forget_tokens(own);
        token(here, l, t + i, i, r, this->output_gradient(own_d_out, t + i), g, own);
        const int row = i % collect.rows.tokens;
        collect.template leave<true>(block, staged, l, s, t + i, row, own);
        if (row == 0) {
          const int staged_tokens = count - i;
          collect.template flush<true>(
              block, staged, l, s, t + i,
              staged_tokens < collect.rows.tokens ? staged_tokens : collect.rows.tokens);
        }
      }
      collector_type::add_to_total(own, total);
    });
    collect.template leave<false>(block, staged, l, s, 0, 0, total);
    collect.template flush<false>(block, staged, l, s, 0, 1);
    if (!s.opens || !l.active || !initial_state.to.given) return;
    for (int n = 0; n < Keys; ++n)
      if (here.holds(n)) {
        accumulator<C> sum;
        this->split(g[n], sum);
        initial_state.store(place<C, Complex>{s.batch, 0, l.head, here.key(n), l.value}, s.sequence,
                            0, sum);
      }
  }

 private:
  GATESCAN_HD static void split(C x, accumulator<C>& sum) { sum.re = x; }
  GATESCAN_HD static void split(cplx<C> x, accumulator<C>& sum) { sum.re = x.re, sum.im = x.im; }

  // One token: adds its gradients to `own`, and takes g to before it. What comes from the output
  // counts once, not once a lane of the channel.
  template <class Output>
  GATESCAN_HD void token(const share& here, const lane& l, index_t t, int i, const again& r,
                         Output to_out, list<E, Keys>& g, sums& own) const {
    using values_type = typename share::values_type;
    const auto at = here.at(t);
    typename R::template fields<accumulator<C>> of_output{};
    values_type d_w{};
    const E d_o = R::output_adjoint(here.x, of_output, at, r.w[i], d_w, r.o[i], to_out);
    if (l.part == 0 && l.tile == 0)
      R::operands([](const char*, const axes&, presence, auto& sum,
                     const auto& more) { sum.re += more.re, sum.im += more.im; },
                  own.of_channel, of_output);
    else
      d_w = values_type{};
    for (int n = 0; n < Keys; ++n) {
      if (!here.holds(n)) continue;
      const auto at_key = here.at(t, n);
      const E a = r.gates[i][n];
      E to_state;
      if constexpr (share::unit_keys) {
        to_state = g[n] + d_o;
        d_w.v = d_w.v + to_state;
      } else {
        const auto key = R::keys(here.x, at_key);
        to_state = g[n] + conj(E(key.q)) * d_o;
        d_w.v = d_w.v + to_state * conj(E(key.k));
        R::keys_adjoint(here.x, own.of_key[n], at_key,
                        keys_of<E>{d_o * conj(r.states[i][n]), to_state * conj(r.w[i].v), E{}});
      }
      R::gate_adjoint(here.x, own.of_key[n], at_key, r.w[i], d_w, a,
                      to_state * conj(r.state_before(i, n)));
      g[n] = is_zero(a) ? make<E>::from(0) : conj(a) * to_state;
    }
    R::values_adjoint(here.x, own.of_channel, at, r.w[i], d_w);
  }
};

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
