#pragma once
// Gradients where channels share keys: every segment from its last chunk of tokens to its first,
// states and gates again from the state before each chunk, in shared memory. With g_t the gradient
// of the state after token t, [channels][keys n]
//
//   g_t[n] += q_t[n] do_t          dq_t[n] = do_t h_t[n]          dk_t[n] = g_t[n] v_t
//   dv_t = sum_n g_t[n] k_t[n]    g_{t-1}[n] = a_t[n] g_t[n]    de_t[n] = a_t[n] g_t[n] h_{t-1}[n]
//   ds_t = sum_n de_t[n] f[n]      df[n] = sum_t de_t[n] s_t

#include "collect.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {
namespace shared_keys {

template <class R, class T, int Keys>
struct segment_adjoint : run_program<R, T, Keys> {
  using base = run_program<R, T, Keys>;
  using typename base::C, typename base::S, typename base::D, typename base::channel,
      typename base::pair, typename base::thread_keys, typename base::numbers_of_keys,
      typename base::values_type, typename base::loaded;
  static constexpr int chunk_tokens = base::chunk_tokens;
  static constexpr int sum_tokens = chunk_tokens / 2;  // whose keys' gradients are added together
  static constexpr bool plain = has_plain_output<R>, linear = has_linear_output<R>;
  using collector_type = shared_keys::collector<R, T, Keys, sum_tokens>;
  using sums = typename collector_type::sums;
  using accumulators = typename sums::fields;
  using numbers_of_thread = key_numbers<C, Keys>;

  operand<const S> d_out;
  scratch_array<C> kept;   // states at the starts of chunks
  scratch_array<C> parts;  // of o, with several tiles of keys
  collector_type collect;
  scratch_array<D> gradients;    // of the states at the ends of segments, where time is split
  operand<const C> final_state;  // its gradient
  gradient_sink<C, C> initial_state;

  static constexpr int blocks_a_multiprocessor = base::in_floats ? tuned.run_adjoint_blocks : 0;
  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }
  int shared_bytes() const {
    return this->staged_bytes(chunk_tokens) + collect.shared_bytes() +
           shared_size<C>(chunk_tokens * this->map.width()) +
           3 * shared_size<C>(chunk_tokens * this->map.block_threads) +
           shared_size<numbers_of_thread>(chunk_tokens * this->map.block_threads) +
           shared_size<numbers_of_thread>((chunk_tokens + 1) * this->map.block_threads);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_columns(
        block, [&](const segment& s, const channel_thread& thread, const channel& keys) {
          auto shared = memory(block, thread);
          const operand<const S> own_d_out = d_out.of_head(s.batch, thread.head, thread.value);
          numbers_of_keys factor, g;
          base::load_factors(keys, factor);
          load_gradient(s, thread, keys, g);
          sums own{};
          typename collector_type::wide_sums total{};
          const index_t chunks = (s.tokens.count() + chunk_tokens - 1) / chunk_tokens;
          for (index_t c = chunks - 1; c >= 0; --c) {
            const index_t t = s.tokens.first + c * chunk_tokens;
            const int count = s.tokens.count_from(t, chunk_tokens);
            numbers_of_keys before;
            this->load_row(kept, this->split.chunk_row(s, t, chunk_tokens), thread, keys, before);
            stage(block, keys, thread, own_d_out, t, count, shared);
            block.sync();
            of_keys(block, keys, thread, own_d_out, s, t, count, factor, before, g, own, shared);
            of_channels(keys, thread, own_d_out, s, t, count, own, shared);
            collector_type::add_to_total(own, total);
          }
          collect.leave_totals(block, shared.sums, thread, s, total);
          store_initial(s, thread, keys, g);
        });
  }

 private:
  // A chunk in shared memory: what all keys or channels need, and [token][thread] what the threads
  // of a channel add up.
  template <class KeyArray, class PairArray, class NumberArray, class Array, class Sums>
  struct chunk_memory {
    KeyArray keys;
    PairArray pairs;
    NumberArray gates, states;  // the state before the chunk is the first
    Array d_o, o, d_v, d_step;
    Sums sums;
    int part, parts, column, width, thread, threads;

    GATESCAN_HD thread_keys keys_at(int i) const { return keys[i * parts + part]; }
    GATESCAN_HD int of_channel(int i) const { return i * width + column; }
    GATESCAN_HD int own(int i) const { return i * threads + thread; }
  };
  template <class Block>
  GATESCAN_HD auto memory(Block& block, const channel_thread& thread) const {
    const auto keys = this->key_array(block, chunk_tokens);
    const auto pairs = this->pair_array(block, chunk_tokens);
    const int width = this->map.width(), threads = block.threads();
    const auto gates = block.template shared<numbers_of_thread>(chunk_tokens * threads);
    const auto states = block.template shared<numbers_of_thread>((chunk_tokens + 1) * threads);
    const auto d_o = block.template shared<C>(chunk_tokens * width);
    const auto o = block.template shared<C>(chunk_tokens * threads);
    const auto d_v = block.template shared<C>(chunk_tokens * threads);
    const auto d_step = block.template shared<C>(chunk_tokens * threads);
    const auto sums_there = collect.storage(block);
    return chunk_memory<std::remove_const_t<decltype(keys)>, std::remove_const_t<decltype(pairs)>,
                        std::remove_const_t<decltype(gates)>, std::remove_const_t<decltype(d_o)>,
                        std::remove_const_t<decltype(sums_there)>>{keys,
                                                                   pairs,
                                                                   gates,
                                                                   states,
                                                                   d_o,
                                                                   o,
                                                                   d_v,
                                                                   d_step,
                                                                   sums_there,
                                                                   thread.part,
                                                                   this->map.lanes,
                                                                   this->column_of(block.thread()),
                                                                   width,
                                                                   block.thread(),
                                                                   threads};
  }

  GATESCAN_HD void load_gradient(const segment& s, const channel_thread& thread,
                                 const channel& keys, numbers_of_keys& g) const {
    registers<D, Keys> after;
    if (gradients.first != nullptr)
      this->load_row(gradients, s.slot, thread, keys, after);
    else
      this->load_state(final_state, s.sequence, thread, keys, after);
    unrolled<Keys>([&](int n) { g[n] = number_cast<C>(after[n]); });
  }
  GATESCAN_HD void store_initial(const segment& s, const channel_thread& thread,
                                 const channel& keys, const numbers_of_keys& g) const {
    if (!s.opens || !thread.active || !initial_state.to.given) return;
    unrolled<Keys>([&](int n) {
      if (!keys.holds(n)) return;
      accumulator<C> sum;
      sum.re = g[n];
      initial_state.store(cursor<C, false>{s.batch, 0, thread.head, keys.key(n), thread.value},
                          s.sequence, 0, sum);
    });
  }

  // What a thread reads of one of its channel's tokens.
  struct token_and_gradient {
    loaded x;
    C d_out;
  };
  GATESCAN_HD token_and_gradient read(const channel& keys, const operand<const S>& own_d_out,
                                      index_t t) const {
    return {this->load(keys, t),
            own_d_out.given ? convert<C>(own_d_out.re[t * own_d_out.time]) : C(0)};
  }
  template <class Block, class Memory>
  GATESCAN_HD void stage(Block& block, const channel& keys, const channel_thread& thread,
                         const operand<const S>& own_d_out, index_t t, int count,
                         const Memory& to) const {
    this->stage_keys(block, keys, thread, t, count, to.keys);
    this->template for_own_tokens<2>(
        thread, count, [&](int i) { return read(keys, own_d_out, t + i); },
        [&](int i, const token_and_gradient& x) {
          const auto w = R::values(x.x, loaded_cursor<C>{});
          to.pairs[to.of_channel(i)] = base::pair_of(w);
          if constexpr (linear) to.d_o[to.of_channel(i)] = of_output(x, w, C(0));
        });
  }
  GATESCAN_HD static C of_output(const token_and_gradient& x, const values_type& w, C o) {
    accumulators ignored{};
    values_type also_ignored{};
    return R::output_adjoint(x.x, ignored, loaded_cursor<C>{}, w, also_ignored, o, x.d_out);
  }
  // o of a token, with several tiles of keys.
  GATESCAN_HD C over_tiles(const segment& s, const channel_thread& thread, index_t t) const {
    C o = 0;
    for (index_t tile = 0; tile < parts.keys; ++tile)
      o = o + parts.load(s.batch * this->split.time + t, tile, thread.channel);
    return o;
  }

  // States and gates again, then the keys' gradients, and g before the chunk.
  template <class Block, class Memory>
  GATESCAN_HD void of_keys(Block& block, const channel& keys, const channel_thread& thread,
                           const operand<const S>& own_d_out, const segment& s, index_t t,
                           int count, const numbers_of_keys& factor, const numbers_of_keys& before,
                           numbers_of_keys& g, sums& own, const Memory& at) const {
    numbers_of_thread now;
    unrolled<Keys>([&](int n) { now.of[n] = before[n]; });
    at.states[at.own(0)] = now;
    for (int i = 0; i < count; ++i) {
      const pair w = at.pairs[at.of_channel(i)];
      const thread_keys key = at.keys_at(i);
      numbers_of_thread gates;
      C o = 0;
      unrolled<Keys>([&](int n) {
        const C a = base::gate(w, factor[n]), add = key.k[n] * w.v;
        now.of[n] = is_zero(a) ? add : fma(a, now.of[n], add);
        gates.of[n] = a;
        if constexpr (!plain)
          if (keys.holds(n)) o = fma(key.q[n], now.of[n], o);
      });
      at.gates[at.own(i)] = gates;
      at.states[at.own(i + 1)] = now;
      if constexpr (!plain) at.o[at.own(i)] = o;
    }
    if constexpr (!linear) {
      block.sync();
      this->template for_own_tokens<1>(
          thread, count, [&](int i) { return read(keys, own_d_out, t + i); },
          [&](int i, const token_and_gradient& x) {
            C o = 0;
            for (int part = 0; part < at.parts; ++part)
              o = o + at.o[i * at.threads + part * at.width + at.column];
            if (parts.first != nullptr) o = over_tiles(s, thread, t + i);
            at.d_o[at.of_channel(i)] = of_output(x, R::values(x.x, loaded_cursor<C>{}), o);
          });
      block.sync();
    }
    numbers_of_keys d_factor;
    unrolled<Keys>([&](int n) { d_factor[n] = 0; });
    for (int first = (count - 1) / sum_tokens * sum_tokens; first >= 0; first -= sum_tokens) {
      const int here = count - first < sum_tokens ? count - first : sum_tokens;
      for (int i = first + here - 1; i >= first; --i) {
        const pair w = at.pairs[at.of_channel(i)];
        const thread_keys key = at.keys_at(i);
        const numbers_of_thread gates = at.gates[at.own(i)], then = at.states[at.own(i)];
        const C d_o = at.d_o[at.of_channel(i)];
        C d_v = 0, d_step = 0;
        collector_type::forget_tokens(own);
        unrolled<Keys>([&](int n) {
          const C a = gates.of[n], to_state = fma(key.q[n], d_o, g[n]);
          d_v = fma(to_state, key.k[n], d_v);
          R::keys_adjoint(keys.x, own.of_key[n], keys.cursor_at(t + i, n),
                          keys_of<C>{d_o * now.of[n], to_state * w.v, C(0)});
          g[n] = is_zero(a) ? C(0) : a * to_state;
          const C d_exponent = unless_zero(a, g[n] * then.of[n]);
          d_step = fma(d_exponent, unless_zero(a, factor[n]), d_step);
          d_factor[n] = fma(d_exponent, w.step, d_factor[n]);
        });
        now = then;
        collect.leave_keys(block, at.sums, i - first, own);
        at.d_v[at.own(i)] = d_v;
        at.d_step[at.own(i)] = d_step;
      }
      block.sync();
      collect.add_keys(block, at.sums, thread, s, t + first, here);
      if (first > 0) block.sync();
    }
    unrolled<Keys>(
        [&](int n) { R::gate_factor_adjoint(own.of_key[n], keys.cursor_at(t, n), d_factor[n]); });
  }

  // What a channel's operands get. What comes from the output counts once, not once a tile of keys.
  template <class Memory>
  GATESCAN_HD void of_channels(const channel& keys, const channel_thread& thread,
                               const operand<const S>& own_d_out, const segment& s, index_t t,
                               int count, sums& own, const Memory& from) const {
    const loaded_cursor<C> at;
    for (int i = thread.part; i < count; i += from.parts) {
      C o = 0, d_v = 0, d_step = 0;
      for (int part = 0; part < from.parts; ++part) {
        const int of_part = i * from.threads + part * from.width + from.column;
        if (!plain) o = o + from.o[of_part];
        d_v = d_v + from.d_v[of_part];
        d_step = d_step + from.d_step[of_part];
      }
      if (parts.first != nullptr) o = over_tiles(s, thread, t + i);
      collector_type::forget_tokens(own);
      const token_and_gradient x = read(keys, own_d_out, t + i);
      const auto w = R::values(x.x, at);
      values_type d_w{};
      if (thread.tile == 0) R::output_adjoint(x.x, own.of_channel, at, w, d_w, o, x.d_out);
      d_w.v = d_w.v + d_v;
      R::gate_step_adjoint(d_w, d_step);
      R::values_adjoint(x.x, own.of_channel, at, w, d_w);
      collect.store_channel(thread, s, t + i, own.of_channel);
    }
  }
};

}  // namespace shared_keys
}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
