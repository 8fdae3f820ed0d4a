#pragma once
// Forward where channels share keys: h_t[n] = a_t[n] h_{t-1}[n] + k_t[n] v_t, o_t = sum_n q_t[n]
// h_t[n], a_t[n] = e^(s_t f[n]), for [channels][keys n]. A run of tokens: stage its keys, values
// and steps; walk through it in chunks, each a local sum beside the decayed incoming state; add o
// over the threads of a channel, and write outputs.

#include "run.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {
namespace shared_keys {

template <class R, class T, int Keys>
struct walk_program : run_program<R, T, Keys> {
  using base = run_program<R, T, Keys>;
  using typename base::C, typename base::W, typename base::channel, typename base::pair,
      typename base::thread_keys, typename base::numbers_of_keys;
  static constexpr int chunk_tokens = base::chunk_tokens, run_tokens = base::run_tokens;

  // What the threads of a block have in shared memory.
  template <class KeyArray, class PairArray>
  struct staged {
    KeyArray keys;
    PairArray pairs;
    int part, parts, column, width;
    GATESCAN_HD thread_keys keys_at(int i) const { return keys[i * parts + part]; }
    GATESCAN_HD pair pair_at(int i) const { return pairs[i * width + column]; }
  };
  template <class Block>
  GATESCAN_HD auto staging(Block& block, const channel_thread& thread) const {
    const auto keys = this->key_array(block, run_tokens);
    const auto pairs = this->pair_array(block, run_tokens);
    return staged<std::remove_const_t<decltype(keys)>, std::remove_const_t<decltype(pairs)>>{
        keys,
        pairs,
        thread.part,
        this->map.lanes,
        this->column_of(block.thread()),
        this->map.width()};
  }
  template <class Block, class Staged>
  GATESCAN_HD void stage(Block& block, const channel& keys, const channel_thread& thread, index_t t,
                         int count, const Staged& to) const {
    this->stage_keys(block, keys, thread, t, count, to.keys);
    const auto read = [&](int i) { return this->load(keys, t + i); };
    this->template for_own_tokens<4>(thread, count, read, [&](int i, const auto& x) {
      to.pairs[i * to.width + to.column] = base::pair_of(R::values(x, loaded_cursor<C>{}));
    });
  }

  /// One chunk, from token i of the run on, from a local sum: h = (product of gates) h_in + local.
  /// A gate of 0 needs no select: it makes Inf or NaN NaN, and the chunk is done again as the
  /// recurrence stands. put(i, o) gets the thread's part of o; visit(n, product, local) comes at
  /// the end.
  template <bool Outputs, class Staged, class Put, class Visit>
  GATESCAN_HD static C local(const Staged& run, int first, int count, const numbers_of_keys& factor,
                             const registers<W, Keys>& h, const Put& put, const Visit& visit) {
    numbers_of_keys in, product, sum;
    unrolled<Keys>([&](int n) { in[n] = static_cast<C>(h[n]), product[n] = 1, sum[n] = 0; });
    C check = 0;
    const auto token = [&](int i) {
      const pair w = run.pair_at(first + i);
      const thread_keys key = run.keys_at(first + i);
      C o = 0;
      unrolled<Keys>([&](int n) {
        const C a = base::gate(w, factor[n]);
        sum[n] = fma(a, sum[n], key.k[n] * w.v);
        product[n] = fixed_product(product[n], a);
        if constexpr (Outputs) o = fma(key.q[n], fma(product[n], in[n], sum[n]), o);
      });
      if constexpr (Outputs) {
        check = check + zero_if_finite(o);
        put(first + i, o);
      }
    };
    if (count == chunk_tokens)
      unrolled<chunk_tokens>(token);
    else
      for (int i = 0; i < count; ++i) token(i);
    unrolled<Keys>([&](int n) { check = check + visit(n, product[n], sum[n]); });
    return check;
  }
  /// The same as the recurrence stands.
  template <class Staged, class Put>
  GATESCAN_HD static void exactly(const Staged& run, const channel& keys, int first, int count,
                                  const numbers_of_keys& factor, registers<W, Keys>& h,
                                  const Put& put) {
    numbers_of_keys e;
    unrolled<Keys>([&](int n) { e[n] = static_cast<C>(h[n]); });
    for (int i = 0; i < count; ++i) {
      const pair w = run.pair_at(first + i);
      const thread_keys key = run.keys_at(first + i);
      C o = 0;
      unrolled<Keys>([&](int n) {
        if (!keys.holds(n)) return;
        const C a = base::gate(w, factor[n]), add = key.k[n] * w.v;
        e[n] = is_zero(a) ? add : fma(a, e[n], add);
        o = fma(key.q[n], e[n], o);
      });
      put(first + i, o);
    }
    unrolled<Keys>([&](int n) { h[n] = number_cast<W>(e[n]); });
  }
};

// Product of gates and local state of every segment.
template <class R, class T, int Keys>
struct segment_state : walk_program<R, T, Keys> {
  static constexpr needs of_beside = needs::nothing;
  using base = walk_program<R, T, Keys>;
  using typename base::C, typename base::W, typename base::channel, typename base::numbers_of_keys;
  scratch_array<W> products, states;

  static constexpr int blocks_a_multiprocessor = base::in_floats ? tuned.run_blocks : 0;
  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const { return this->staged_bytes(base::run_tokens); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_columns(
        block, [&](const segment& s, const channel_thread& thread, const channel& keys) {
          const auto run = this->staging(block, thread);
          numbers_of_keys factor;
          base::load_factors(keys, factor);
          registers<W, Keys> product, state;
          unrolled<Keys>([&](int n) { product[n] = number_cast<W>(1), state[n] = {}; });
          for (index_t t = s.tokens.first; t < s.tokens.last; t += base::run_tokens) {
            const int count = s.tokens.count_from(t, base::run_tokens);
            if (t != s.tokens.first) block.sync();  // the last run is read
            this->stage(block, keys, thread, t, count, run);
            block.sync();
            for (int i = 0; i < count; i += base::chunk_tokens)
              base::template local<false>(
                  run, i, count - i < base::chunk_tokens ? count - i : base::chunk_tokens, factor,
                  state, [](int, C) {},
                  [&](int n, C by, C sum) {
                    state[n] = fma(number_cast<W>(by), state[n], number_cast<W>(sum));
                    product[n] = product[n] * number_cast<W>(by);
                    return C(0);
                  });
          }
          this->store_row(products, s.slot, thread, keys, product);
          this->store_row(states, s.slot, thread, keys, state);
        });
  }
};

// Outputs, final states, and for backward the states at the starts of chunks: what is asked for.
// With several tiles of keys each leaves its part of o in `parts`.
template <class R, class T, int Keys>
struct segment_scan : walk_program<R, T, Keys> {
  using base = walk_program<R, T, Keys>;
  using typename base::C, typename base::S, typename base::W, typename base::channel,
      typename base::numbers_of_keys;
  static constexpr int chunk_tokens = base::chunk_tokens;
  scratch_array<W> states;  // at the starts of segments, where time is split
  operand<S> out;
  operand<C> final_state;
  scratch_array<C> parts;  // of o: [batch and token][tile]
  scratch_array<C> kept{};

  static constexpr int blocks_a_multiprocessor = base::in_floats ? tuned.run_blocks : 0;
  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const {
    return this->staged_bytes(base::run_tokens) +
           shared_size<C>(base::run_tokens * this->map.block_threads);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_columns(block, [&](const segment& s, const channel_thread& thread,
                                const channel& keys) {
      const auto run = this->staging(block, thread);
      const auto sums = block.template shared<C>(base::run_tokens * block.threads());
      const bool outputs = out.given || parts.first != nullptr;
      numbers_of_keys factor;
      base::load_factors(keys, factor);
      registers<W, Keys> h;
      if (states.first != nullptr)
        this->load_row(states, s.slot, thread, keys, h);
      else
        this->load_state(this->p.initial_state, s.sequence, thread, keys, h);
      const operand<S> to = out.of_head(s.batch, thread.head, thread.value);
      for (index_t t = s.tokens.first; t < s.tokens.last; t += base::run_tokens) {
        const int count = s.tokens.count_from(t, base::run_tokens);
        this->stage(block, keys, thread, t, count, run);
        block.sync();
        for (int i = 0; i < count; i += chunk_tokens) {
          const int here = count - i < chunk_tokens ? count - i : chunk_tokens;
          keep(s, thread, keys, t + i, h);
          if (outputs)
            advance<true>(run, keys, i, here, factor, h, sums, block.thread(), block.threads());
          else
            advance<false>(run, keys, i, here, factor, h, sums, block.thread(), block.threads());
        }
        block.sync();
        if (outputs) write(s, thread, keys, t, count, run, sums, to, block.threads());
      }
      if (!final_state.given || !s.closes || !thread.active) return;
      for (int n = 0; n < Keys; ++n)
        if (keys.holds(n))
          store_number(final_state,
                       this->state_offset(final_state, s.sequence, thread, keys.key(n)),
                       number_cast<C>(h[n]));
    });
  }

 private:
  GATESCAN_HD void keep(const segment& s, const channel_thread& thread, const channel& keys,
                        index_t t, const registers<W, Keys>& h) const {
    if (kept.first == nullptr) return;
    numbers_of_keys start;
    unrolled<Keys>([&](int n) { start[n] = number_cast<C>(h[n]); });
    this->store_row(kept, this->split.chunk_row(s, t, chunk_tokens), thread, keys, start);
  }
  /// The states after a chunk, and the thread's parts of o: [token][thread].
  template <bool Outputs, class Staged, class Sums>
  GATESCAN_HD void advance(const Staged& run, const channel& keys, int first, int count,
                           const numbers_of_keys& factor, registers<W, Keys>& h, const Sums& sums,
                           int thread, int threads) const {
    if (this->steps) {
      base::exactly(run, keys, first, count, factor, h,
                    [&](int i, C o) { sums[i * threads + thread] = o; });
      return;
    }
    registers<W, Keys> end;
    const C check = base::template local<Outputs>(
        run, first, count, factor, h, [&](int i, C o) { sums[i * threads + thread] = o; },
        [&](int n, C product, C sum) {
          end[n] = fma(number_cast<W>(product), h[n], number_cast<W>(sum));
          return zero_if_finite(number_cast<C>(end[n]));
        });
    if (!(check == C(0))) {
      base::exactly(run, keys, first, count, factor, h, [&](int i, C exact_o) {
        if (Outputs && !is_finite(C(sums[i * threads + thread])))
          sums[i * threads + thread] = exact_o;
      });
      unrolled<Keys>([&](int n) {
        if (is_finite(number_cast<C>(end[n]))) h[n] = end[n];
        if (!keys.holds(n)) h[n] = {};
      });
      return;
    }
    unrolled<Keys>([&](int n) { h[n] = end[n]; });
  }
  /// Outputs of a run, or parts of o.
  template <class Staged, class Sums>
  GATESCAN_HD void write(const segment& s, const channel_thread& thread, const channel& keys,
                         index_t t, int count, const Staged& run, const Sums& sums,
                         const operand<S>& to, int threads) const {
    if (!thread.active) return;
    const auto read = [&](int i) { return this->load(keys, t + i); };
    this->template for_own_tokens<2>(thread, count, read, [&](int i, const auto& x) {
      C o = 0;
      for (int part = 0; part < run.parts; ++part)
        o = o + sums[i * threads + part * run.width + run.column];
      const loaded_cursor<C> at;
      if (parts.first != nullptr)
        parts.store(s.batch * this->split.time + t + i, thread.tile, thread.channel, o);
      else
        store_number(to, (t + i) * to.time, R::output(x, at, R::values(x, at), o));
    });
  }
};

}  // namespace shared_keys
}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
