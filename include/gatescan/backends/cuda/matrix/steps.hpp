#pragma once
// The recurrence itself, token by token: recurrent mode and step, and the segments of a scan.
//
//   S_t = a_t * S_{t-1} + k_t v_t^T, [keys][values]      o_t = Re q_t^T S_t, [values]
//
// A block has 32 columns of a head's state, four warps the keys; keys by tiles whose states are
// spilled to scratch (or the caller's memory) while other tiles are at work. The order of every sum
// depends on keys only, so that time may be split anywhere.

#include "stored_states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T>
struct steps {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using S = typename config::S;
  using E = typename config::E;
  static constexpr int warps = config::threads / warp_threads, columns = warp_threads;
  static constexpr int keys_a_thread = config::keys / warps;
  static constexpr int pitch = config::rows;

  problem_of<R, T> p;
  bool scan = false;
  time_split segments;           // of a scan; else sequences are whole
  stored_states<R, T> starts{};  // of a scan: states at segments' starts
  C* spilled = nullptr;          // [item][plane][key][columns], where keys are more than a tile
  operand<S> out{};
  operand<C> final_state{};  // not of a scan
  C* o = nullptr;            // before the epilogue, in place of the output

  index_t items() const {
    return (scan ? segments.slot_count() : p.n.sequences) * p.n.heads *
           ceil_divide(p.n.values, columns);
  }
  GATESCAN_HD index_t spilled_size() const { return config::planes * p.n.keys * columns; }
  bool spills() const { return p.n.keys > config::keys && p.n.time > config::subchunk; }
  index_t blocks() const { return items(); }
  int threads() const { return config::threads; }
  int shared_bytes() const {
    return 3 * shared_size<C>(config::subchunk * config::rows) +
           shared_size<C>(config::subchunk * columns) +
           shared_size<C>(warps * config::subchunk * columns);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t tiles = ceil_divide(p.n.values, columns);
    index_t rest = block.index();
    const index_t first_value = rest % tiles * columns;
    const index_t head = (rest /= tiles) % p.n.heads;
    segment chunk;
    if (scan) {
      chunk = segments.at(rest / p.n.heads);
      if (chunk.tokens.count() == 0) return;
    } else {
      chunk.sequence = rest / p.n.heads, chunk.batch = segments.batch_of(chunk.sequence);
      chunk.tokens = segments.tokens_of(chunk.sequence);
    }
    const auto q = block.template shared<C>(config::subchunk * config::rows);
    const auto k = block.template shared<C>(config::subchunk * config::rows);
    const auto gates = block.template shared<C>(config::subchunk * config::rows);
    const auto values = block.template shared<C>(config::subchunk * columns);
    const auto partial = block.template shared<C>(warps * config::subchunk * columns);
    const auto x = head_operands(p, chunk.batch, head);
    const auto head_out = out.of_head(chunk.batch, head, 0);
    const int lane = block.thread() % warp_threads, warp = block.thread() / warp_threads;
    const index_t value = first_value + lane;
    const bool in_range = value < p.n.values;
    C* const own_spilled = spilled + block.index() * spilled_size();
    const index_t spilled_plane = p.n.keys * columns;

    if (chunk.tokens.count() == 0) {
      for (index_t i = warp; in_range && i < p.n.keys; i += warps)
        store_state(final_state, chunk.sequence, head, i, value,
                    load_state<E>(p.initial_state, chunk.sequence, head, i, value));
      return;
    }
    registers<E, keys_a_thread> state;
    for (index_t first = chunk.tokens.first; first < chunk.tokens.last; first += config::subchunk) {
      const index_t left = chunk.tokens.last - first;
      const int count = left < config::subchunk ? static_cast<int>(left) : config::subchunk;
      const bool begins = first == chunk.tokens.first, ends = left <= config::subchunk;
      block.sync();
      for (int n = block.thread(); n < count * columns; n += config::threads) {
        const index_t t = first + n / columns, j = first_value + n % columns;
        values[n] =
            j < p.n.values ? C(R::values(x, typename config::cursor{0, t, 0, 0, j}).v) : C(0);
      }
      for (index_t first_key = 0; first_key < p.n.keys; first_key += config::keys) {
        const bool only = p.n.keys <= config::keys;
        if (first_key > 0) block.sync();
        for (int n = block.thread(); n < count * config::keys; n += config::threads) {
          const int t = n / config::keys, i = n % config::keys;
          keys_of<E> number{E{}, E{}, E{}};
          if (first_key + i < p.n.keys) {
            const auto token =
                R::keys(x, typename config::cursor{0, first + t, 0, first_key + i, 0});
            number = {token.q, token.k, token.gate};
          }
          put_number(q, t * pitch + i, config::keys, number.q);
          put_number(k, t * pitch + i, config::keys, number.k);
          put_number(gates, t * pitch + i, config::keys, number.gate);
        }
        if (begins || !only) {
          for (int m = 0; m < keys_a_thread; ++m) {
            const index_t i = first_key + warp + warps * m;
            state[m] = E{};
            if (!in_range || i >= p.n.keys) continue;
            if (!begins)
              state[m] = number_at<E>(own_spilled, i * columns + lane, spilled_plane);
            else if (scan)
              state[m] = number_at<E>(starts.state(chunk.slot, head), i * p.n.values + value,
                                      starts.plane());
            else
              state[m] = load_state<E>(p.initial_state, chunk.sequence, head, i, value);
          }
        }
        block.sync();
        // no number beyond the last key: 0 times Inf is not nothing
        const index_t keys_here = ceil_divide(p.n.keys - first_key - warp, warps);
        for (int t = 0; t < count; ++t) {
          const C v = values[t * columns + lane];
          const int mine = (warp * config::subchunk + t) * columns + lane;
          C o_t = first_key == 0 ? C(0) : C(partial[mine]);
          for (int m = 0; m < keys_a_thread; ++m) {
            if (m >= keys_here) break;
            const int row = t * pitch + warp + warps * m;
            const E gate = number_at<E>(gates, row, config::keys);
            state[m] = fma(number_at<E>(k, row, config::keys), v, decayed(gate, state[m]));
            o_t = o_t + real_part(number_at<E>(q, row, config::keys) * state[m]);
          }
          partial[mine] = o_t;
        }
        if (ends ? !scan : !only) {
          for (int m = 0; m < keys_a_thread; ++m) {
            const index_t i = first_key + warp + warps * m;
            if (!in_range || i >= p.n.keys) continue;
            if (ends)
              store_state(final_state, chunk.sequence, head, i, value, state[m]);
            else
              put_number(own_spilled, i * columns + lane, spilled_plane, state[m]);
          }
        }
      }
      block.sync();
      for (int n = block.thread(); n < count * columns; n += config::threads) {
        const index_t t = first + n / columns, j = first_value + n % columns;
        if (j >= p.n.values) continue;
        C total = partial[n];
        for (int w = 1; w < warps; ++w) total = total + partial[w * config::subchunk * columns + n];
        const typename config::cursor at{0, t, 0, 0, j};
        if (o != nullptr)
          o[((chunk.batch * p.n.time + t) * p.n.heads + head) * p.n.values + j] = total;
        else if (out.given)
          head_out.re[t * head_out.time + j * head_out.value] =
              convert<S>(R::output(x, at, R::values(x, at), total));
      }
    }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
