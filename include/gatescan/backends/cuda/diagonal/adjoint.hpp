#pragma once
// Backward through one chunk of tokens: states and gates again from the state before the chunk,
// then the same scan against time, for [channels][keys n] and with conj where numbers are complex
//
//   g_t[n] += q_t[n] do_t     g_{t-1}[n] = a_t[n] g_t[n]
//
// And how g gets to the ends of segments.

#include "program_base.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

// A chunk of tokens in shared memory: what `values` returned, o, its gradient, gates and states.
template <class Channel, class Block>
struct chunk_storage {
  using values_type = typename Channel::values_type;
  using E = typename Channel::E;
  operand<const typename Channel::S> d_out;  // of the channel
  decltype(Channel::template storage<values_type>(std::declval<Block&>(), channel_map{})) w;
  decltype(Channel::template storage<E>(std::declval<Block&>(), channel_map{})) o, d_o;
  decltype(Channel::key_storage(std::declval<Block&>())) gates, states;
  registers<E, Channel::thread_keys> before;  // the states before the chunk

  GATESCAN_HD chunk_storage(Block& block, const channel_map& map,
                            const operand<const typename Channel::S>& channel_d_out)
      : d_out(channel_d_out),
        w(Channel::template storage<values_type>(block, map)),
        o(Channel::template storage<E>(block, map)),
        d_o(Channel::template storage<E>(block, map)),
        gates(Channel::key_storage(block)),
        states(Channel::key_storage(block)) {}
  GATESCAN_HD E state_before(int i, int n) const { return i > 0 ? states.at(i - 1, n) : before[n]; }
};

// What the programs of a backward pass share: the states at the starts of chunks, and o.
template <class R, class T, bool IsComplex, int Keys>
struct adjoint_base : program_base<R, T, IsComplex, Keys> {
  using base = program_base<R, T, IsComplex, Keys>;
  using channel = typename base::channel;
  using C = typename base::C;
  using S = typename base::S;
  using E = typename base::E;
  using accumulators = typename R::template fields<accumulator<C>>;
  operand<const S> d_out;
  scratch_array<E> kept;   // states at the starts of chunks
  scratch_array<E> parts;  // of o, with several tiles of keys

  GATESCAN_HD auto output_gradient(const operand<const S>& own_d_out, index_t t) const {
    using output = typename channel::output_type;
    if (!own_d_out.given) return number_cast<output>(0);
    return load_number<output>(own_d_out, t * own_d_out.time);
  }
  GATESCAN_HD operand<const S> d_out_of(index_t batch, const channel_thread& thread) const {
    return d_out.of_head(batch, thread.head, thread.value);
  }
  GATESCAN_HD index_t row(const segment& s, index_t t) const {
    return s.batch * this->split.time + t;
  }
  /// Gates and states again, and o. With several tiles of keys, o is the sum of the parts that each
  /// left.
  template <bool Full, class Block, class Storage>
  GATESCAN_HD void states_again(Block& block, Storage& storage, const channel& keys,
                                const channel_thread& thread, const segment& s, index_t t,
                                int count) const {
    keys.template values<Full>(block, t, count, storage.w);
    registers<E, Keys> h;
    unrolled<Keys>([&](int n) {
      h[n] = number_cast<E>(0);
      if (keys.holds(n))
        h[n] = kept.load(this->split.chunk_row(s, t, channel::chunk_tokens), keys.key(n),
                         thread.channel);
      storage.before[n] = h[n];
    });
    // a channel with a thread of its own reads all gates of a chunk before it uses them
    constexpr bool gates_first = Full && channel::unit_keys;
    registers<E, gates_first ? channel::chunk_tokens : 1> gates;
    if constexpr (gates_first)
      unrolled<channel::chunk_tokens>(
          [&](int i) { gates[i] = R::gate(keys.x, keys.cursor_at(t + i, 0), storage.w.at(i)); });
    for (int i = 0; i < channel::chunk_tokens; ++i) {
      if (!Full && i >= count) break;
      const typename channel::values_type w = storage.w.at(i);
      E o = number_cast<E>(0);
      unrolled<Keys>([&](int n) {
        if (!keys.holds(n)) return;
        const auto at = keys.cursor_at(t + i, n);
        E a;
        if constexpr (gates_first)
          a = gates[i];
        else
          a = R::gate(keys.x, at, w);
        const E add = keys.input(at, w);
        h[n] = is_zero(a) ? add : fma(a, h[n], add);
        storage.gates.put(i, n, a);
        storage.states.put(i, n, h[n]);
        if constexpr (!channel::simple_output) o = keys.read_out(at, h[n], o);
      });
      if constexpr (!channel::simple_output) {
        if (parts.first != nullptr) continue;
        o = keys.over_lanes(block, o);
        if (keys.owns(i)) storage.o.put(i, o);
      }
    }
  }
  /// The same, and the gradient of o. Not Fast: less code.
  template <bool Fast, class Block, class Storage>
  GATESCAN_HD void recompute_chunk(Block& block, Storage& storage, const channel& keys,
                                   const channel_thread& thread, const segment& s, index_t t,
                                   int count) const {
    if (Fast && count == channel::chunk_tokens) {
      states_again<Fast>(block, storage, keys, thread, s, t, count);
      output_gradients<Fast>(storage, keys, thread, s, t, count);
    } else {
      states_again<false>(block, storage, keys, thread, s, t, count);
      output_gradients<false>(storage, keys, thread, s, t, count);
    }
    channel::sync_channel(block);
  }
  // do of the thread's own tokens; with several tiles of keys, o first.
  template <bool Full, class Storage>
  GATESCAN_HD void output_gradients(Storage& storage, const channel& keys,
                                    const channel_thread& thread, const segment& s, index_t t,
                                    int count) const {
    const auto d_o = [&](int i) {
      accumulators ignored{};
      typename channel::values_type also_ignored{};
      return of_output(keys, storage.d_out, t + i, storage.w.at(i), o_of(storage, i), ignored,
                       also_ignored);
    };
    if constexpr (Full && channel::unit_keys) {
      registers<E, channel::chunk_tokens> all;
      unrolled<channel::chunk_tokens>([&](int i) { all[i] = d_o(i); });
      unrolled<channel::chunk_tokens>([&](int i) { storage.d_o.put(i, all[i]); });
    } else {
      keys.template for_own_tokens<false>(count, [&](int i, bool there) {
        if (!there) return;
        if (!channel::simple_output && parts.first != nullptr) {
          E sum = parts.load(row(s, t) + i, 0, thread.channel);
          for (index_t tile = 1; tile < parts.keys; ++tile)
            sum = sum + parts.load(row(s, t) + i, tile, thread.channel);
          storage.o.put(i, sum);
        }
        storage.d_o.put(i, d_o(i));
      });
    }
  }
  template <class Storage>
  GATESCAN_HD static E o_of(const Storage& storage, int i) {
    if constexpr (channel::simple_output)
      return number_cast<E>(0);
    else
      return storage.o.at(i);
  }
  /// The gradient of o at a token.
  template <class D, class Values>
  GATESCAN_HD E of_output(const channel& keys, const operand<const S>& channel_d_out, index_t t,
                          const Values& w, E o, const D& d, Values& d_w) const {
    return R::output_adjoint(keys.x, d, keys.cursor_at(t), w, d_w, o,
                             output_gradient(channel_d_out, t));
  }

  static int storage_bytes(const channel_map& map) {
    return channel::template storage_bytes<typename channel::values_type>(map) +
           2 * channel::template storage_bytes<E>(map) + 2 * channel::key_storage_bytes(map);
  }
  // f(t, count) for the chunks of a segment, the last one first
  template <class F>
  GATESCAN_HD static void for_each_chunk_backwards(const segment& s, F&& f) {
    if (s.tokens.first == s.tokens.last) return;
    for (index_t i = (s.tokens.last - s.tokens.first - 1) / channel::chunk_tokens; i >= 0; --i) {
      const index_t t = s.tokens.first + i * channel::chunk_tokens, left = s.tokens.last - t;
      f(t, static_cast<int>(left < channel::chunk_tokens ? left : channel::chunk_tokens));
    }
  }
  // The gradient of the state before a segment from the one after it.
  template <bool Fast, class Block, class Storage>
  GATESCAN_HD void step_back(Block& block, Storage& storage, const channel& keys,
                             const channel_thread& thread, const segment& s,
                             registers<E, Keys>& g) const {
    for_each_chunk_backwards(s, [&](index_t t, int count) {
      recompute_chunk<Fast>(block, storage, keys, thread, s, t, count);
      unrolled<Keys>([&](int n) {
        if (!keys.holds(n)) return;
        for (int i = count - 1; i >= 0; --i) {
          const E a = storage.gates.at(i, n),
                  to_state = query_gradient(keys, t + i, n, storage.d_o.at(i));
          g[n] = is_zero(a) ? number_cast<E>(0) : conj(a) * (g[n] + to_state);
        }
      });
    });
  }
  GATESCAN_HD static E query_gradient(const channel& keys, index_t t, int n, E d_o) {
    if constexpr (channel::unit_keys)
      return d_o;
    else
      return conj(E(R::keys(keys.x, keys.cursor_at(t, n)).q)) * d_o;
  }
};

// The gradient of every segment's incoming state, had its last state none.
template <class R, class T, bool IsComplex, int Keys>
struct segment_state_adjoint : adjoint_base<R, T, IsComplex, Keys> {
  static constexpr needs of_beside = needs::state;
  using base = adjoint_base<R, T, IsComplex, Keys>;
  using channel = typename base::channel;
  using E = typename base::E;
  scratch_array<typename base::D> gradients;

  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const { return base::storage_bytes(this->map); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_segment(
        block, [&](const segment& s, const channel_thread& thread, const channel& keys) {
          chunk_storage<channel, Block> storage(block, this->map, this->d_out_of(s.batch, thread));
          registers<E, Keys> g;
          for (int n = 0; n < Keys; ++n) g[n] = number_cast<E>(0);
          this->template step_back<true>(block, storage, keys, thread, s, g);
          registers<typename base::D, Keys> end;
          for (int n = 0; n < Keys; ++n) end[n] = number_cast<typename base::D>(g[n]);
          this->store_row(gradients, s.slot, thread, keys, end);
        });
  }
};

// The gradient of the state at every segment's end takes the place of that.
template <class R, class T, bool IsComplex, int Keys>
struct state_passing_adjoint : adjoint_base<R, T, IsComplex, Keys> {
  using base = adjoint_base<R, T, IsComplex, Keys>;
  using channel = typename base::channel;
  using C = typename base::C;
  using E = typename base::E;
  using D = typename base::D;
  using W = typename base::W;
  scratch_array<W> products;
  scratch_array<D> gradients;
  operand<const C> final_state;         // its gradient
  gradient_sink<C, C> initial_state{};  // of a piece of time, which hands it on at once

  index_t blocks() const { return this->blocks_for(this->split.sequences); }
  int shared_bytes() const { return base::storage_bytes(this->map); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_sequence(
        block, [&](index_t sequence, const channel_thread& thread, const channel& keys) {
          chunk_storage<channel, Block> storage(
              block, this->map, this->d_out_of(this->split.batch_of(sequence), thread));
          registers<D, Keys> g;
          this->load_state(final_state, sequence, thread, keys, g);
          for (index_t i = this->split.used_slots(sequence) - 1; i >= 0; --i) {
            const index_t slot = this->split.first_slot(sequence) + i;
            registers<W, Keys> product;
            registers<D, Keys> start;
            this->load_row(products, slot, thread, keys, product);
            this->load_row(gradients, slot, thread, keys, start);
            this->store_row(gradients, slot, thread, keys, g);
            bool fine = true;
            for (int n = 0; n < Keys; ++n) {
              start[n] = fma(conj(number_cast<D>(product[n])), g[n], start[n]);
              fine = fine && is_finite(number_cast<E>(start[n]));
            }
            if (channel::any_in_warp(block, !fine)) {  // Inf or NaN: through the tokens
              registers<E, Keys> e;
              for (int n = 0; n < Keys; ++n) e[n] = number_cast<E>(g[n]);
              this->template step_back<false>(block, storage, keys, thread,
                                              this->split.of(sequence, i), e);
              for (int n = 0; n < Keys; ++n)
                if (!is_finite(number_cast<E>(start[n]))) start[n] = number_cast<D>(e[n]);
            }
            for (int n = 0; n < Keys; ++n) g[n] = start[n];
          }
          registers<E, Keys> first;
          for (int n = 0; n < Keys; ++n) first[n] = number_cast<E>(g[n]);
          this->store_state_gradient(initial_state, sequence, thread, keys, first);
        });
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
