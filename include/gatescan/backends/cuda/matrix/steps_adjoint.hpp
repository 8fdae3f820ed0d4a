#pragma once
// Backward of recurrent mode, token by token: with G_t the gradient of the state after token t,
// [keys][values], and conj where numbers are complex
//
//   G_t += conj(q_t) do_t^T   dq_t = S_t do_t   dk_t = G_t v_t   dv_t = Re G_t^T k_t
//   da_t = sum over values of G_t * S_{t-1}     G_{t-1} = a_t * G_t
//
// States are kept at the starts of chunks of about sqrt(L) tokens and computed again chunk by
// chunk, as forward computes them, so that a sequence in pieces gives the same bits. A block has
// one head; it works through tiles of keys and of 32 values one after another, four warps sharing
// the keys of a tile.

#include "chunk_state.hpp"
#include "gradient_stores.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T>
struct steps_adjoint {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using E = typename config::E;
  static constexpr int warps = config::threads / warp_threads, columns = warp_threads;
  static constexpr int keys_a_thread = config::keys / warps, pitch = config::rows;
  using states_t = registers<E, keys_a_thread>;

  problem_of<R, T> p;
  time_split sequences;  // every sequence is one chunk
  index_t run = 16;      // a multiple of 16
  output_gradient<R, T> d_o{};
  operand<const C> d_final{};
  gradient_sink<C, C> initial_state{};
  gradient_stores<R, T> gradients{};
  // sums of a token: [batch][time][head] of rows of keys, and of values
  C *d_q = nullptr, *d_k = nullptr, *d_gate = nullptr, *d_v = nullptr;
  // states of a block: [run] and [token of a run], each [row][column]
  C *kept = nullptr, *replayed = nullptr;

  index_t blocks() const { return sequences.slot_count() * p.n.heads; }
  int threads() const { return config::threads; }
  int shared_bytes() const {
    return 3 * shared_size<C>(config::subchunk * config::rows) +
           2 * shared_size<C>(config::subchunk * columns) +
           shared_size<C>(warps * config::subchunk * columns);
  }
  GATESCAN_HD static constexpr index_t state_size() { return config::rows * columns; }
  GATESCAN_HD index_t runs() const { return ceil_divide(p.n.time, run); }
  index_t key_sums() const { return p.n.batch * p.n.time * p.n.heads * config::planes * p.n.keys; }
  index_t value_sums() const { return p.n.batch * p.n.time * p.n.heads * p.n.values; }
  void take(arena& memory) {
    d_q = memory.take<C>(key_sums());
    d_k = memory.take<C>(key_sums());
    d_gate = memory.take<C>(key_sums());
    d_v = memory.take<C>(value_sums());
    kept = memory.take<C>(blocks() * runs() * state_size());
    replayed = memory.take<C>(blocks() * run * state_size());
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t head = block.index() % p.n.heads;
    const segment chunk = sequences.at(block.index() / p.n.heads);
    const auto x = head_operands(p, chunk.batch, head);
    if (chunk.index == 0) {  // a slot after the last token has nothing
      const subchunk_storage<Block> staged(block);
      for (index_t value = 0; value < p.n.values; value += columns)
        for (index_t key = 0; key < p.n.keys; key += config::keys)
          differentiate(block, x, chunk, head, key, value, staged);
      block.sync();
    }
    finish(block, x, chunk, head);
  }

 private:
  template <class Block>
  struct subchunk_storage {
    using array = decltype(std::declval<Block&>().template shared<C>(1));
    array q, k, gates;  // [token][row], later their gradients
    array values, d_outs;
    array d_values;  // [warp][token][column]

    GATESCAN_HD explicit subchunk_storage(Block& block)
        : q(block.template shared<C>(config::subchunk * config::rows)),
          k(block.template shared<C>(config::subchunk * config::rows)),
          gates(block.template shared<C>(config::subchunk * config::rows)),
          values(block.template shared<C>(config::subchunk * columns)),
          d_outs(block.template shared<C>(config::subchunk * columns)),
          d_values(block.template shared<C>(warps * config::subchunk * columns)) {}
  };

  GATESCAN_HD index_t token_at(const segment& chunk, index_t time, index_t head) const {
    return (chunk.batch * p.n.time + time) * p.n.heads + head;
  }

  template <class Block>
  GATESCAN_HD void load(Block& block, const typename config::fields& x, const segment& chunk,
                        index_t head, index_t first, index_t first_key, index_t first_value,
                        const subchunk_storage<Block>& staged) const {
    const auto head_d_out = d_o.d_out.of_head(chunk.batch, head, 0);
    block.sync();
    for (int n = block.thread(); n < config::subchunk * config::keys; n += config::threads) {
      const index_t t = first + n / config::keys, key = first_key + n % config::keys;
      if (t >= chunk.tokens.last || key >= p.n.keys) continue;
      const auto token = R::keys(x, typename config::cursor{0, t, 0, key, 0});
      const int at = n / config::keys * pitch + n % config::keys;
      put_number(staged.q, at, config::keys, E(token.q));
      put_number(staged.k, at, config::keys, E(token.k));
      put_number(staged.gates, at, config::keys, E(token.gate));
    }
    for (int n = block.thread(); n < config::subchunk * columns; n += config::threads) {
      const index_t t = first + n / columns, value = first_value + n % columns;
      const bool inside = t < chunk.tokens.last && value < p.n.values;
      staged.values[n] =
          inside ? C(R::values(x, typename config::cursor{0, t, 0, 0, value}).v) : C(0);
      staged.d_outs[n] = inside ? d_o(x, head_d_out, chunk.batch, head, t, value) : C(0);
    }
    block.sync();
  }

  template <class F>
  GATESCAN_HD void for_each_key(int warp, index_t first_key, F f) const {
    for (int m = 0; m < keys_a_thread; ++m)
      if (first_key + warp + warps * m < p.n.keys) f(m, warp + warps * m);
  }
  // as steps
  template <class Block>
  GATESCAN_HD static E stepped(const subchunk_storage<Block>& staged, int t, int key, C v,
                               E state) {
    const int at = t * pitch + key;
    return fma(number_at<E>(staged.k, at, config::keys), v,
               decayed(number_at<E>(staged.gates, at, config::keys), state));
  }
  template <class Block>
  GATESCAN_HD static E over_warp(Block& block, bool counts, E x) {
    if (!counts) x = E{};
    for (int m = warp_threads / 2; m > 0; m /= 2) {
      if constexpr (config::complex) {
        x.re += block.shuffle_xor(x.re, m);
        x.im += block.shuffle_xor(x.im, m);
      } else {
        x += block.shuffle_xor(x, m);
      }
    }
    return x;
  }

  template <class Block>
  GATESCAN_HD void differentiate(Block& block, const typename config::fields& x,
                                 const segment& chunk, index_t head, index_t first_key,
                                 index_t first_value, const subchunk_storage<Block>& staged) const {
    const int lane = block.thread() % warp_threads, warp = block.thread() / warp_threads;
    const index_t value = first_value + lane, count = chunk.tokens.count();
    const bool counts = value < p.n.values;
    const index_t plane = config::keys * columns;
    C* const starts = kept + block.index() * runs() * state_size();
    C* const before = replayed + block.index() * run * state_size();
    const auto entry = [&](int key) { return key * columns + lane; };
    states_t state = {}, g = {};
    for_each_key(warp, first_key, [&](int m, int key) {
      if (!counts) return;
      const index_t i = first_key + key;
      state[m] = load_state<E>(p.initial_state, chunk.sequence, head, i, value);
      g[m] = load_state<E>(d_final, chunk.sequence, head, i, value);
    });
    const index_t pieces = ceil_divide(count, run);
    for (index_t piece = 0; piece < pieces; ++piece) {
      for_each_key(warp, first_key, [&](int m, int key) {
        put_number(starts + piece * state_size(), entry(key), plane, state[m]);
      });
      if (piece + 1 == pieces) break;
      for (index_t s = piece * run; s < (piece + 1) * run; s += config::subchunk) {
        load(block, x, chunk, head, chunk.tokens.first + s, first_key, first_value, staged);
        for (int t = 0; t < config::subchunk; ++t) {
          const C v = staged.values[t * columns + lane];
          for_each_key(warp, first_key,
                       [&](int m, int key) { state[m] = stepped(staged, t, key, v, state[m]); });
        }
      }
    }
    for (index_t piece = pieces - 1; piece >= 0; --piece) {
      const index_t first = piece * run, left = count - first, here_count = left < run ? left : run;
      for_each_key(warp, first_key, [&](int m, int key) {
        state[m] = number_at<E>(starts + piece * state_size(), entry(key), plane);
      });
      const index_t steps = ceil_divide(here_count, config::subchunk);
      for (index_t s = 0; s < steps * config::subchunk; s += config::subchunk) {
        load(block, x, chunk, head, chunk.tokens.first + first + s, first_key, first_value, staged);
        for (int t = 0; t < config::subchunk && s + t < here_count; ++t) {
          const C v = staged.values[t * columns + lane];
          for_each_key(warp, first_key, [&](int m, int key) {
            put_number(before + (s + t) * state_size(), entry(key), plane, state[m]);
            state[m] = stepped(staged, t, key, v, state[m]);
          });
        }
      }
      for (index_t s = (steps - 1) * config::subchunk; s >= 0; s -= config::subchunk) {
        if (steps > 1)
          load(block, x, chunk, head, chunk.tokens.first + first + s, first_key, first_value,
               staged);
        const int in_step =
            here_count - s < config::subchunk ? static_cast<int>(here_count - s) : config::subchunk;
        for (int t = in_step - 1; t >= 0; --t)
          step_back(block, staged, t, first_key, counts, before + (s + t) * state_size(), g);
        block.sync();
        collect(block, staged, chunk, head, chunk.tokens.first + first + s, in_step, first_key,
                first_value);
        block.sync();
      }
    }
    for_each_key(warp, first_key, [&](int m, int key) {
      if (!counts) return;
      accumulator<C> sum;
      const typename config::cursor at{chunk.sequence, 0, head, first_key + key, value};
      at.add(sum, g[m]);
      initial_state.store(at, chunk.sequence, 0, sum);
    });
  }

  // one token back: its gradients take the place of its numbers
  template <class Block>
  GATESCAN_HD void step_back(Block& block, const subchunk_storage<Block>& staged, int t,
                             index_t first_key, bool counts, const C* before, states_t& g) const {
    const int lane = block.thread() % warp_threads, warp = block.thread() / warp_threads;
    const C v = staged.values[t * columns + lane], d_out = staged.d_outs[t * columns + lane];
    C d_value = 0;
    for_each_key(warp, first_key, [&](int m, int key) {
      const int at = t * pitch + key;
      const E state = number_at<E>(before, key * columns + lane, config::keys * columns);
      const E after = stepped(staged, t, key, v, state);
      const E gate = number_at<E>(staged.gates, at, config::keys);
      g[m] = g[m] + conj(number_at<E>(staged.q, at, config::keys)) * d_out;
      d_value = d_value + real_part(conj(g[m]) * number_at<E>(staged.k, at, config::keys));
      const E dq = over_warp(block, counts, conj(after) * d_out),
              dk = over_warp(block, counts, g[m] * v),
              da = over_warp(block, counts, g[m] * conj(state));
      g[m] = decayed(conj(gate), g[m]);
      block.sync_warp();  // all have read what the gradients replace
      if (lane != 0) return;
      put_number(staged.q, at, config::keys, dq);
      put_number(staged.k, at, config::keys, dk);
      put_number(staged.gates, at, config::keys, da);
    });
    staged.d_values[(warp * config::subchunk + t) * columns + lane] = d_value;
  }
  // adds what a tile of keys and values knows of some tokens
  template <class Block>
  GATESCAN_HD void collect(Block& block, const subchunk_storage<Block>& staged,
                           const segment& chunk, index_t head, index_t first, int count,
                           index_t first_key, index_t first_value) const {
    for (int n = block.thread(); n < count * config::rows; n += config::threads) {
      const int t = n / config::rows, row = n % config::rows;
      const index_t key = first_key + row % config::keys;
      if (key >= p.n.keys) continue;
      const index_t to =
          (token_at(chunk, first + t, head) * config::planes + row / config::keys) * p.n.keys + key;
      const bool adds = first_value > 0;
      d_q[to] = (adds ? d_q[to] : C(0)) + staged.q[n];
      d_k[to] = (adds ? d_k[to] : C(0)) + staged.k[n];
      d_gate[to] = (adds ? d_gate[to] : C(0)) + staged.gates[n];
    }
    for (int n = block.thread(); n < count * columns; n += config::threads) {
      const index_t value = first_value + n % columns;
      if (value >= p.n.values) continue;
      const index_t to = token_at(chunk, first + n / columns, head) * p.n.values + value;
      C sum = first_key > 0 ? d_v[to] : C(0);
      for (int w = 0; w < warps; ++w)
        sum = sum + staged.d_values[w * config::subchunk * columns + n];
      d_v[to] = sum;
    }
  }

  template <class Block>
  GATESCAN_HD void finish(Block& block, const typename config::fields& x, const segment& chunk,
                          index_t head) const {
    const index_t last = chunk.index == 0 ? chunk.tokens.last : chunk.tokens.first;
    const int lane = block.thread() % config::key_side_keys,
              group = block.thread() / config::key_side_keys;
    for (index_t key = lane; key < p.n.keys; key += config::key_side_keys) {
      typename config::sums sums{};
      for (index_t t = chunk.tokens.first + group; t < last;
           t += gradient_stores<R, T>::key_groups) {
        const index_t at = token_at(chunk, t, head) * config::planes * p.n.keys + key;
        R::keys_adjoint(x, sums, typename config::cursor{0, t, 0, key, 0},
                        keys_of<E>{number_at<E>(d_q, at, p.n.keys), number_at<E>(d_k, at, p.n.keys),
                                   number_at<E>(d_gate, at, p.n.keys)});
        gradients.store_token(side::keys, sums, chunk, head, t, key);
      }
      gradients.store_parameters(side::keys, sums, chunk, head, key, group);
    }
    const auto head_d_out = d_o.d_out.of_head(chunk.batch, head, 0);
    const int value_group = block.thread() / config::values;
    for (index_t value = block.thread() % config::values; value < p.n.values;
         value += config::values) {
      typename config::sums sums{};
      for (index_t t = chunk.tokens.first + value_group; t < last;
           t += gradient_stores<R, T>::value_groups) {
        const typename config::cursor at{0, t, 0, 0, value};
        const auto w = R::values(x, at);
        std::remove_const_t<decltype(w)> d_w{};
        d_o(x, head_d_out, chunk.batch, head, t, value, w, d_w, sums);
        d_w.v = d_w.v + d_v[token_at(chunk, t, head) * p.n.values + value];
        R::values_adjoint(x, sums, at, w, d_w);
        gradients.store_token(side::values, sums, chunk, head, t, value);
      }
      gradients.store_parameters(side::values, sums, chunk, head, value, value_group);
    }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
