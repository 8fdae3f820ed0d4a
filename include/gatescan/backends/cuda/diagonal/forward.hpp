#pragma once
// Forward of a diagonal recurrence, h_t[n] = a_t[n] h_{t-1}[n] + k_t[n] v_t, o_t = sum_n q_t[n]
// h_t[n], for [channels][keys n]. Where time is split: reduce every segment to (product of gates,
// local state), pass the state through the segments, run each from its exact state.

#include "program_base.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

// Product of gates and local state of every segment.
template <class R, class T, bool IsComplex, int Keys>
struct segment_state : program_base<R, T, IsComplex, Keys> {
  static constexpr needs of_beside = needs::nothing;
  using base = program_base<R, T, IsComplex, Keys>;
  using channel = typename base::channel;
  using E = typename base::E;
  using W = typename base::W;
  scratch_array<W> products, states;

  static constexpr int blocks_a_multiprocessor =
      base::several_real_keys ? tuned.segment_state_blocks : 0;
  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const {
    return channel::template token_bytes<typename channel::values_type>(this->map);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_segment(block, [&](const segment& s, const channel_thread& thread,
                                const channel& keys) {
      auto w = channel::template tokens<typename channel::values_type>(block, this->map);
      registers<W, Keys> product, state;
      for (int n = 0; n < Keys; ++n) product[n] = number_cast<W>(1), state[n] = number_cast<W>(0);
      channel::for_each_chunk(s.tokens.first, s.tokens.last, [&]<bool Full>(index_t t, int count) {
        registers<E, channel::chunk_tokens> o;
        keys.template values<Full>(block, t, count, w);
        keys.template local<Full, false>(
            t, count, w, state, o, [&](int n, E chunk_product, E chunk_sum, bool reset) {
              const W by = number_cast<W>(chunk_product), sum = number_cast<W>(chunk_sum);
              state[n] = reset ? sum : fma(by, state[n], sum);
              product[n] = reset ? number_cast<W>(0) : product[n] * by;
            });
      });
      this->store_row(products, s.slot, thread, keys, product);
      this->store_row(states, s.slot, thread, keys, state);
    });
  }
};

// The state at the start of every segment takes the place of its local state.
template <class R, class T, bool IsComplex, int Keys>
struct state_passing : program_base<R, T, IsComplex, Keys> {
  static constexpr needs of_beside = needs::state;
  using base = program_base<R, T, IsComplex, Keys>;
  using channel = typename base::channel;
  using E = typename base::E;
  using W = typename base::W;
  scratch_array<W> products, states;
  operand<typename base::C> final_state{};  // of a piece of time, which hands it on at once

  index_t blocks() const { return this->blocks_for(this->split.sequences); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_sequence(block,
                      [&](index_t sequence, const channel_thread& thread, const channel& keys) {
                        registers<W, Keys> h;
                        this->load_state(this->p.initial_state, sequence, thread, keys, h);
                        const index_t pieces = this->split.used_slots(sequence);
                        for (index_t i = 0; i < pieces; ++i) {
                          const index_t slot = this->split.first_slot(sequence) + i;
                          registers<W, Keys> product, end;
                          this->load_row(products, slot, thread, keys, product);
                          this->load_row(states, slot, thread, keys, end);
                          this->store_row(states, slot, thread, keys, h);
                          bool fine = true;
                          for (int n = 0; n < Keys; ++n) {
                            end[n] = fma(product[n], h[n], end[n]);
                            fine = fine && is_finite(number_cast<E>(end[n]));
                          }
                          if (!fine) through_tokens(keys, this->split.of(sequence, i), h, end);
                          for (int n = 0; n < Keys; ++n) h[n] = end[n];
                        }
                        if (final_state.given)
                          this->store_state(final_state, sequence, thread, keys, h);
                      });
  }

 private:
  // Inf or NaN: resets are exact where every token is seen.
  GATESCAN_HD void through_tokens(const channel& keys, const segment& s,
                                  const registers<W, Keys>& h, registers<W, Keys>& end) const {
    registers<E, Keys> e;
    for (int n = 0; n < Keys; ++n) e[n] = number_cast<E>(h[n]);
    for (index_t t = s.tokens.first; t < s.tokens.last; ++t) {
      const auto w = R::values(keys.x, keys.cursor_at(t));
      for (int n = 0; n < Keys; ++n)
        if (keys.holds(n)) e[n] = keys.next(t, n, w, e[n]);
    }
    for (int n = 0; n < Keys; ++n)
      if (!is_finite(number_cast<E>(end[n]))) end[n] = number_cast<W>(e[n]);
  }
};

// Outputs, final states, and for backward the states at the starts of chunks: what is asked for.
// With several tiles of keys each leaves its part of o in `parts`.
template <class R, class T, bool IsComplex, int Keys>
struct segment_scan : program_base<R, T, IsComplex, Keys> {
  static constexpr needs of_beside = needs::state;
  using base = program_base<R, T, IsComplex, Keys>;
  using channel = typename base::channel;
  using C = typename base::C;
  using S = typename base::S;
  using E = typename base::E;
  using W = typename base::W;
  scratch_array<W> states;  // at the starts of segments, where time is split
  operand<S> out;
  operand<C> final_state;
  scratch_array<E> parts;  // of o: [batch and token][tile]
  scratch_array<E> kept{};

  static constexpr int blocks_a_multiprocessor = base::several_real_keys ? tuned.segment_blocks : 0;
  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const {
    return channel::template token_bytes<typename channel::values_type>(this->map) +
           channel::template token_bytes<E>(this->map);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_segment(block, [&](const segment& s, const channel_thread& thread,
                                const channel& keys) {
      registers<W, Keys> h;
      if (states.first != nullptr)
        this->load_row(states, s.slot, thread, keys, h);
      else
        this->load_state(this->p.initial_state, s.sequence, thread, keys, h);
      const operand<S> to = out.of_head(s.batch, thread.head, thread.value);
      auto w = channel::template tokens<typename channel::values_type>(block, this->map);
      auto sums = channel::template tokens<E>(block, this->map);
      channel::for_each_chunk(s.tokens.first, s.tokens.last, [&]<bool Full>(index_t t, int count) {
        if (kept.first != nullptr) {
          registers<E, Keys> start;
          for (int n = 0; n < Keys; ++n) start[n] = number_cast<E>(h[n]);
          this->store_row(kept, this->split.chunk_row(s, t, channel::chunk_tokens), thread, keys,
                          start);
        }
        keys.template values<Full>(block, t, count, w);
        if (!out.given && parts.first == nullptr) {
          keys.template advance<Full, false>(block, this->steps, t, count, w, h, sums);
          return;
        }
        keys.template advance<Full, true>(block, this->steps, t, count, w, h, sums);
        channel::sync_channel(block);
        keys.template for_own_tokens<Full>(count, [&](int i, bool there) {
          if (!there || !thread.active) return;
          if (parts.first != nullptr)
            parts.store(s.batch * this->split.time + t + i, thread.tile, thread.channel,
                        sums.at(i));
          else
            store_number(to, (t + i) * to.time,
                         R::output(keys.x, keys.cursor_at(t + i), w.at(i), sums.at(i)));
        });
      });
      if (final_state.given && s.closes)
        this->store_state(final_state, s.sequence, thread, keys, h);
    });
  }
};

// Adds the parts of o, and writes the output. A thread an output.
template <class R, class T, bool IsComplex>
struct finish {
  using channel = channel_keys<R, T, IsComplex, 1>;
  using C = typename channel::C;
  using E = typename channel::E;
  problem_of<R, T> p;
  channel_map map;
  time_split split;
  operand<typename channel::S> out;
  scratch_array<E> parts;

  int threads() const { return 128; }
  int shared_bytes() const { return 0; }
  index_t blocks() const { return ceil_divide(parts.rows * parts.channels, threads()); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t i = block.index() * block.threads() + block.thread();
    if (i >= parts.rows * parts.channels) return;
    channel_thread thread;
    thread.channel = i % parts.channels;
    thread.head = thread.channel / p.n.values, thread.value = thread.channel % p.n.values;
    const index_t row = i / parts.channels, batch = row / p.n.time, t = row % p.n.time;
    if (split.sequence_at(batch, t) < 0) return;
    const channel keys(p.x, thread, batch, map);
    E o = parts.load(row, 0, thread.channel);
    for (index_t tile = 1; tile < parts.keys; ++tile) o = o + parts.load(row, tile, thread.channel);
    const auto w = R::values(keys.x, keys.cursor_at(t));
    store_number(out, out.offset(batch, t, thread.head) + thread.value * out.value,
                 R::output(keys.x, keys.cursor_at(t), w, o));
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
