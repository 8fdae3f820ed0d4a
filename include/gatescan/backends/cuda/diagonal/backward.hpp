#pragma once
// The gradients of a diagonal recurrence: every segment from its last run of tokens to its first.

#include <string>

#include "../../../core/error.hpp"
#include "../noting_place.hpp"
#include "adjoint.hpp"
#include "collect.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

// A channel's part of a token has no key: what it adds to an operand with keys has no place.
template <class R, class T, bool IsComplex>
void check_sides(const problem_of<R, T>& p,
                 const typename R::template fields<operand<storage_t<T>>>& d) {
  using share = channel<R, T, IsComplex, 1>;
  const noting_place<state_t<T>, IsComplex> at{side::values};
  typename R::template fields<side_notes> notes{};
  const auto w = R::values(p.x, at);
  std::remove_const_t<decltype(w)> d_w{};
  R::output_adjoint(p.x, notes, at, w, d_w, typename share::E{}, typename share::output_type{});
  R::values_adjoint(p.x, notes, at, w, d_w);
  R::operands(
      [](const char* name, const axes& a, presence, const auto& target, const auto& added) {
        if (target.given && has_keys(a) && added.values)
          fail<shape_error>(std::string("gradient of ") + name +
                            ": expected adjoints of values and output to leave an operand with "
                            "keys to those of keys and gate: on a device they have no key");
      },
      d, notes);
}

template <class R, class T, bool IsComplex, int Keys>
struct differentiate : adjoint_task<R, T, IsComplex, Keys> {
  using base = adjoint_task<R, T, IsComplex, Keys>;
  using share = typename base::share;
  using C = typename base::C;
  using S = typename base::S;
  using E = typename base::E;
  using D = typename base::D;
  using collector_type = collector<R, T, IsComplex, Keys, share::run, share::unit_keys>;
  using values_type = typename share::values_type;
  using sums = typename collector_type::sums;
  collector_type collect;
  table<D> gradients;            // of the states at the ends of segments, where time is cut
  operand<const C> final_state;  // its gradient
  gradient_sink<C, C> initial_state;

  index_t blocks() const { return this->blocks_for(this->cut.slot_count()); }
  int shared_bytes() const {
    return base::room_bytes(this->map) + collect.shared_bytes() +
           share::template token_bytes<values_type>(this->map);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_segment(block, [&](const segment& s, const lane& l, const share& here) {
      const auto meeting = collect.room(block);
      run_room<share, Block> room(block, this->map);
      auto d_values = share::template tokens<values_type>(block, this->map);
      list<D, Keys> after;
      if (gradients.first != nullptr)
        this->load_row(gradients, s.slot, l, here, after);
      else
        this->load_state(final_state, s.sequence, l, here, after);
      list<E, Keys> g;
      unrolled<Keys>([&](int n) { g[n] = make<E>::from(after[n]); });

      sums own{};
      typename collector_type::wide_sums total{};
      base::for_each_run_backwards(s, [&](index_t t, int count) {
        this->template run_once_more<true>(block, room, here, l, s, t, count);
        for (int i = count - 1; i >= 0; --i) {
          collector_type::forget_tokens(own);
          const values_type w = room.w.at(i);
          values_type d_w{};
          of_keys(here, t + i, i, room, w, d_w, g, own);
          collect.leave_keys(block, meeting, l, s, t + i, i, own);
          if constexpr (share::unit_keys) {
            collector_type::add_keys_to_channel(own);
            of_channel(here, l, s, t + i, w, this->o_of(room, i), d_w, own.of_channel);
            collect.leave_channel(block, meeting, l, s, t + i, i, true, own.of_channel);
          } else {
            d_w = add_over_lanes<C>(block, d_w, here.lanes);
            if (here.owns(i)) d_values.put(i, d_w);
          }
        }
        if constexpr (!share::unit_keys) {
          share::meet(block);
          here.template for_own_tokens<false>(count, [&](int i, bool there) {
            collector_type::forget_tokens(own);
            if (there) {
              values_type d_w = d_values.at(i);
              of_channel(here, l, s, t + i, room.w.at(i), this->o_of(room, i), d_w, own.of_channel);
            }
            collect.leave_channel(block, meeting, l, s, t + i, i, there, own.of_channel);
          });
        }
        collect.template flush<true>(block, meeting, l, s, t, count);
        collector_type::add_to_total(own, total);
      });
      collect.leave_totals(block, meeting, l, s, total);
      collect.template flush<false>(block, meeting, l, s, 0, 1);
      if (!s.opens || !l.active || !initial_state.to.given) return;
      for (int n = 0; n < Keys; ++n)
        if (here.holds(n)) {
          accumulator<C> sum;
          this->split(g[n], sum);
          initial_state.store(place<C, IsComplex>{s.batch, 0, l.head, here.key(n), l.value},
                              s.sequence, 0, sum);
        }
    });
  }

 private:
  GATESCAN_HD static void split(C x, accumulator<C>& sum) { sum.re = x; }
  GATESCAN_HD static void split(cplx<C> x, accumulator<C>& sum) { sum.re = x.re, sum.im = x.im; }

  // The keys' part of a token: adds their gradients to `own`, and takes g to before it.
  template <class Room>
  GATESCAN_HD void of_keys(const share& here, index_t t, int i, const Room& room,
                           const values_type& w, values_type& d_w, list<E, Keys>& g,
                           sums& own) const {
    const E d_o = room.d_o.at(i);
    unrolled<Keys>([&](int n) {
      if (!here.holds(n)) return;
      const auto at = here.at(t, n);
      const E a = room.gates.at(i, n);
      E to_state;
      if constexpr (share::unit_keys) {
        to_state = g[n] + d_o;
        d_w.v = d_w.v + to_state;
      } else {
        const auto key = R::keys(here.x, at);
        to_state = g[n] + conj(E(key.q)) * d_o;
        d_w.v = d_w.v + to_state * conj(E(key.k));
        R::keys_adjoint(here.x, own.of_key[n], at,
                        keys_of<E>{d_o * conj(room.states.at(i, n)), to_state * conj(w.v), E{}});
      }
      R::gate_adjoint(here.x, own.of_key[n], at, w, d_w, a,
                      to_state * conj(room.state_before(i, n)));
      g[n] = is_zero(a) ? make<E>::from(0) : conj(a) * to_state;
    });
  }
  // The channel's part. What comes from the output counts once, not once a tile of keys.
  template <class D>
  GATESCAN_HD void of_channel(const share& here, const lane& l, const segment& s, index_t t,
                              const values_type& w, E o, values_type& d_w, const D& d) const {
    if (l.tile == 0) this->of_output(here, l, s, t, w, o, d, d_w);
    R::values_adjoint(here.x, d, here.at(t), w, d_w);
  }
};

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
