#pragma once
// Forward of a channel along time: what segments make of the state, and states and outputs.

#include "tile.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {
namespace along_time {

// Product of gates and local state of every segment.
template <class R, class T, bool IsComplex>
struct segment_state : tile_program<R, T, IsComplex> {
  static constexpr needs of_beside = needs::nothing;
  using base = tile_program<R, T, IsComplex>;
  using channel = typename base::channel;
  using W = typename base::W;
  scratch_array<W> products, states;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_channel(
        block, [&](const segment& s, const channel_thread& thread, const channel& keys) {
          typename base::step whole;
          base::for_each_tile(block, s, [&]<bool Full>(index_t t, int count, int left) {
            const auto x = this->load(block, keys, t, left);
            typename base::numbers gates, inputs;
            typename base::step tile;
            base::steps_before(block, base::template own_step<Full>(x, count, gates, inputs), tile);
            whole = one_after_another{}(whole, tile);
          });
          const registers<W, 1> product = {whole.product}, state = {whole.local};
          this->store_row(products, s.slot, thread, keys, product);
          this->store_row(states, s.slot, thread, keys, state);
        });
  }
};

// Outputs, final states, and for backward the states at the starts of chunks: what is asked for.
template <class R, class T, bool IsComplex>
struct segment_scan : tile_program<R, T, IsComplex> {
  static constexpr needs of_beside = needs::state;
  using base = tile_program<R, T, IsComplex>;
  using channel = typename base::channel;
  using C = typename base::C;
  using E = typename base::E;
  using W = typename base::W;
  using S = typename base::S;
  using numbers = typename base::numbers;
  scratch_array<W> states;  // at the starts of segments, where time is split
  operand<S> out;
  operand<C> final_state;
  scratch_array<E> kept{};

  int shared_bytes() const { return shared_size<E>(1); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_channel(
        block, [&](const segment& s, const channel_thread& thread, const channel& keys) {
          const auto passed = block.template shared<E>(1);
          registers<W, 1> h;  // before the tile
          if (states.first != nullptr)
            this->load_row(states, s.slot, thread, keys, h);
          else
            this->load_state(this->p.initial_state, s.sequence, thread, keys, h);
          const operand<S> to = out.of_head(s.batch, thread.head, thread.value);
          base::for_each_tile(block, s, [&]<bool Full>(index_t t, int count, int left) {
            const auto x = this->load(block, keys, t, left);
            numbers gates, inputs;
            typename base::step tile;
            const auto before = base::steps_before(
                block, base::template own_step<Full>(x, count, gates, inputs), tile);
            W in = before.of(h[0]), end = tile.of(h[0]);
            if (block.thread() == 0) in = h[0];
            if (block.any(!is_finite(number_cast<E>(in)) || !is_finite(number_cast<E>(end))))
              base::one_by_one(block, block.thread(), passed, h[0], in, end, [&](E state) {
                base::template for_tokens<Full>(
                    count, [&](int i) { state = base::next(gates[i], inputs[i], state); });
                return state;
              });
            h[0] = end;
            E state = number_cast<E>(in);
            if (kept.first != nullptr && count > 0)
              kept.store(this->split.chunk_row(s, t + block.thread() * base::thread_tokens,
                                               base::thread_tokens),
                         0, thread.channel, state);
            if (!out.given) return;
            numbers o;
            base::template for_tokens<Full>(count, [&](int i) {
              state = base::next(gates[i], inputs[i], state);
              const typename base::place at{i};
              o[i] = R::output(x, at, R::values(x, at), state);
            });
            base::store(block, to, t, left, o);
          });
          if (final_state.given && s.closes)
            this->store_state(final_state, s.sequence, thread, keys, h);
        });
  }
};

}  // namespace along_time
}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
