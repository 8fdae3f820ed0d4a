#pragma once
// The gradients of a diagonal recurrence: every segment from its last chunk of tokens to its first.
// With g_t the gradient of the state after token t, [channels][keys n], and conj where complex
//
//   dq_t[n] = do_t h_t[n]   dk_t[n] = g_t[n] v_t   dv_t = sum_n g_t[n] k_t[n]
//   da_t[n] = g_t[n] h_{t-1}[n]

#include <string>

#include "../../../core/error.hpp"
#include "../operands/collect.hpp"
#include "../operands/recording_cursor.hpp"
#include "adjoint.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

// A channel's part of a token has no key: what it adds to an operand with keys has no place.
template <class R, class T, bool IsComplex>
void check_sides(const problem_of<R, T>& p, const result_operands_of<R, T>& d) {
  using channel = channel_keys<R, T, IsComplex, 1>;
  const recording_cursor<state_t<T>, IsComplex> at{side::values};
  typename R::template fields<adds_to> notes{};
  const auto w = R::values(p.x, at);
  std::remove_const_t<decltype(w)> d_w{};
  R::output_adjoint(p.x, notes, at, w, d_w, typename channel::E{}, typename channel::output_type{});
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
struct segment_adjoint : adjoint_base<R, T, IsComplex, Keys> {
  using base = adjoint_base<R, T, IsComplex, Keys>;
  using channel = typename base::channel;
  using C = typename base::C;
  using S = typename base::S;
  using E = typename base::E;
  using D = typename base::D;
  using collector_type =
      collector<R, T, IsComplex, Keys, channel::chunk_tokens, channel::unit_keys>;
  using values_type = typename channel::values_type;
  using sums = typename collector_type::sums;
  collector_type collect;
  scratch_array<D> gradients;    // of the states at the ends of segments, where time is split
  operand<const C> final_state;  // its gradient
  gradient_sink<C, C> initial_state;

  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const {
    return base::storage_bytes(this->map) + collect.shared_bytes() +
           channel::template token_bytes<values_type>(this->map);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_segment(
        block, [&](const segment& s, const channel_thread& thread, const channel& keys) {
          const auto partials = collect.storage(block);
          chunk_storage<channel, Block> storage(block, this->map, this->d_out_of(s.batch, thread));
          auto d_values = channel::template tokens<values_type>(block, this->map);
          registers<D, Keys> after;
          if (gradients.first != nullptr)
            this->load_row(gradients, s.slot, thread, keys, after);
          else
            this->load_state(final_state, s.sequence, thread, keys, after);
          registers<E, Keys> g;
          unrolled<Keys>([&](int n) { g[n] = number_cast<E>(after[n]); });

          sums own{};
          typename collector_type::wide_sums total{};
          base::for_each_chunk_backwards(s, [&](index_t t, int count) {
            this->template recompute_chunk<true>(block, storage, keys, thread, s, t, count);
            for (int i = count - 1; i >= 0; --i) {
              collector_type::forget_tokens(own);
              const values_type w = storage.w.at(i);
              values_type d_w{};
              of_keys(keys, t + i, i, storage, w, d_w, g, own);
              collect.leave_keys(block, partials, thread, s, t + i, i, own);
              if constexpr (channel::unit_keys) {
                collector_type::add_keys_to_channel(own);
                of_channel(keys, thread, storage, t + i, i, d_w, own.of_channel);
                collect.leave_channel(block, partials, thread, s, t + i, i, true, own.of_channel);
              } else {
                d_w = add_over_lanes<C>(block, d_w, keys.lanes);
                if (keys.owns(i)) d_values.put(i, d_w);
              }
            }
            if constexpr (!channel::unit_keys) {
              channel::sync_channel(block);
              keys.template for_own_tokens<false>(count, [&](int i, bool there) {
                collector_type::forget_tokens(own);
                if (there) {
                  values_type d_w = d_values.at(i);
                  of_channel(keys, thread, storage, t + i, i, d_w, own.of_channel);
                }
                collect.leave_channel(block, partials, thread, s, t + i, i, there, own.of_channel);
              });
            }
            collect.template flush<true>(block, partials, thread, s, t, count);
            collector_type::add_to_total(own, total);
          });
          collect.leave_totals(block, partials, thread, s, total);
          collect.template flush<false>(block, partials, thread, s, 0, 1);
          if (s.opens) this->store_state_gradient(initial_state, s.sequence, thread, keys, g);
        });
  }

 private:
  // The keys' part of a token: adds their gradients to `own`, and takes g to before it.
  template <class Storage>
  GATESCAN_HD void of_keys(const channel& keys, index_t t, int i, const Storage& storage,
                           const values_type& w, values_type& d_w, registers<E, Keys>& g,
                           sums& own) const {
    const E d_o = storage.d_o.at(i);
    unrolled<Keys>([&](int n) {
      if (!keys.holds(n)) return;
      const auto at = keys.cursor_at(t, n);
      const E a = storage.gates.at(i, n);
      E to_state;
      if constexpr (channel::unit_keys) {
        to_state = g[n] + d_o;
        d_w.v = d_w.v + to_state;
      } else {
        const auto key = R::keys(keys.x, at);
        to_state = g[n] + conj(E(key.q)) * d_o;
        d_w.v = d_w.v + to_state * conj(E(key.k));
        R::keys_adjoint(keys.x, own.of_key[n], at,
                        keys_of<E>{d_o * conj(storage.states.at(i, n)), to_state * conj(w.v), E{}});
      }
      R::gate_adjoint(keys.x, own.of_key[n], at, w, d_w, a,
                      to_state * conj(storage.state_before(i, n)));
      g[n] = is_zero(a) ? number_cast<E>(0) : conj(a) * to_state;
    });
  }
  // The channel's part. What comes from the output counts once, not once a tile of keys.
  template <class Storage, class D>
  GATESCAN_HD void of_channel(const channel& keys, const channel_thread& thread,
                              const Storage& storage, index_t t, int i, values_type& d_w,
                              const D& d) const {
    const values_type w = storage.w.at(i);
    if (thread.tile == 0)
      this->of_output(keys, storage.d_out, t, w, this->o_of(storage, i), d, d_w);
    R::values_adjoint(keys.x, d, keys.cursor_at(t), w, d_w);
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
