#pragma once
// The recurrence itself, token by token: recurrent mode and step, and the segments of a scan. A
// block has 32 columns of a head's state, four warps the keys; keys by tiles whose states rest in
// scratch (or the caller's memory) while other tiles are at work. The order of every sum depends on
// keys only, so that time may be cut anywhere.

#include "summaries.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
struct matrix_steps {
  using kit = matrix_types<R, T>;
  using C = typename kit::C;
  using S = typename kit::S;
  using E = typename kit::E;
  static constexpr int warps = kit::threads / warp_threads, columns = warp_threads;
  static constexpr int keys_a_thread = kit::keys / warps;
  static constexpr int pitch = kit::rows;

  problem_of<R, T> p;
  bool scan = false;
  time_chunks segments;         // of a scan
  chunk_states<R, T> starts{};  // of a scan: states at segments' starts
  C* resting = nullptr;         // [item][plane][key][columns], where keys are more than a tile
  operand<S> out{};
  operand<C> final_state{};  // not of a scan
  C* o = nullptr;            // before the epilogue, in place of the output

  index_t items() const {
    return (scan ? segments.slot_count : p.n.sequences) * p.n.heads *
           ceil_divide(p.n.values, columns);
  }
  GATESCAN_HD index_t resting_size() const { return kit::planes * p.n.keys * columns; }
  bool needs_rest() const { return p.n.keys > kit::keys && p.n.time > kit::sub; }
  index_t blocks() const { return items(); }
  int threads() const { return kit::threads; }
  int shared_bytes() const {
    return 3 * shared_size<C>(kit::sub * kit::rows) + shared_size<C>(kit::sub * columns) +
           shared_size<C>(warps * kit::sub * columns);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t tiles = ceil_divide(p.n.values, columns);
    index_t rest = block.index();
    const index_t first_value = rest % tiles * columns;
    const index_t head = (rest /= tiles) % p.n.heads;
    chunk_place here{};
    if (scan) {
      here = segments.at(p, rest / p.n.heads);
      if (here.tokens.count() == 0) return;
    } else {
      here.sequence = rest / p.n.heads, here.batch = p.batch_of(here.sequence);
      here.tokens = tokens_of(p, here.sequence);
    }
    const auto q = block.template shared<C>(kit::sub * kit::rows);
    const auto k = block.template shared<C>(kit::sub * kit::rows);
    const auto gates = block.template shared<C>(kit::sub * kit::rows);
    const auto values = block.template shared<C>(kit::sub * columns);
    const auto partial = block.template shared<C>(warps * kit::sub * columns);
    const auto x = head_operands(p, here.batch, head);
    const auto head_out = out.of_head(here.batch, head, 0);
    const int lane = block.thread() % warp_threads, warp = block.thread() / warp_threads;
    const index_t value = first_value + lane;
    const bool in_range = value < p.n.values;
    C* const rested = resting + block.index() * resting_size();
    const index_t rested_plane = p.n.keys * columns;

    if (here.tokens.count() == 0) {
      for (index_t i = warp; in_range && i < p.n.keys; i += warps)
        store_state(final_state, here.sequence, head, i, value,
                    load_state<E>(p.initial_state, here.sequence, head, i, value));
      return;
    }
    registers<E, keys_a_thread> state;
    for (index_t first = here.tokens.first; first < here.tokens.last; first += kit::sub) {
      const index_t left = here.tokens.last - first;
      const int count = left < kit::sub ? static_cast<int>(left) : kit::sub;
      const bool begins = first == here.tokens.first, ends = left <= kit::sub;
      block.sync();
      for (int n = block.thread(); n < count * columns; n += kit::threads) {
        const index_t t = first + n / columns, j = first_value + n % columns;
        values[n] = j < p.n.values ? C(R::values(x, typename kit::at{0, t, 0, 0, j}).v) : C(0);
      }
      for (index_t first_key = 0; first_key < p.n.keys; first_key += kit::keys) {
        const bool only = p.n.keys <= kit::keys;
        if (first_key > 0) block.sync();
        for (int n = block.thread(); n < count * kit::keys; n += kit::threads) {
          const int t = n / kit::keys, i = n % kit::keys;
          keys_of<E> number{E{}, E{}, E{}};
          if (first_key + i < p.n.keys) {
            const auto token = R::keys(x, typename kit::at{0, first + t, 0, first_key + i, 0});
            number = {token.q, token.k, token.gate};
          }
          put_number(q, t * pitch + i, kit::keys, number.q);
          put_number(k, t * pitch + i, kit::keys, number.k);
          put_number(gates, t * pitch + i, kit::keys, number.gate);
        }
        if (begins || !only) {
          for (int m = 0; m < keys_a_thread; ++m) {
            const index_t i = first_key + warp + warps * m;
            state[m] = E{};
            if (!in_range || i >= p.n.keys) continue;
            if (!begins)
              state[m] = number_at<E>(rested, i * columns + lane, rested_plane);
            else if (scan)
              state[m] = number_at<E>(starts.state(here.slot, head), i * p.n.values + value,
                                      starts.plane());
            else
              state[m] = load_state<E>(p.initial_state, here.sequence, head, i, value);
          }
        }
        block.sync();
        // no number beyond the last key: 0 times Inf is not nothing
        const index_t keys_here = ceil_divide(p.n.keys - first_key - warp, warps);
        for (int t = 0; t < count; ++t) {
          const C v = values[t * columns + lane];
          const int mine = (warp * kit::sub + t) * columns + lane;
          C o_t = first_key == 0 ? C(0) : C(partial[mine]);
          for (int m = 0; m < keys_a_thread; ++m) {
            if (m >= keys_here) break;
            const int row = t * pitch + warp + warps * m;
            const E gate = number_at<E>(gates, row, kit::keys);
            state[m] = fma(number_at<E>(k, row, kit::keys), v, decayed(gate, state[m]));
            o_t = o_t + real_part(number_at<E>(q, row, kit::keys) * state[m]);
          }
          partial[mine] = o_t;
        }
        if (ends ? !scan : !only) {
          for (int m = 0; m < keys_a_thread; ++m) {
            const index_t i = first_key + warp + warps * m;
            if (!in_range || i >= p.n.keys) continue;
            if (ends)
              store_state(final_state, here.sequence, head, i, value, state[m]);
            else
              put_number(rested, i * columns + lane, rested_plane, state[m]);
          }
        }
      }
      block.sync();
      for (int n = block.thread(); n < count * columns; n += kit::threads) {
        const index_t t = first + n / columns, j = first_value + n % columns;
        if (j >= p.n.values) continue;
        C total = partial[n];
        for (int w = 1; w < warps; ++w) total = total + partial[w * kit::sub * columns + n];
        const typename kit::at at{0, t, 0, 0, j};
        if (o != nullptr)
          o[((here.batch * p.n.time + t) * p.n.heads + head) * p.n.values + j] = total;
        else if (out.given)
          head_out.re[t * head_out.time + j * head_out.value] =
              convert<S>(R::output(x, at, R::values(x, at), total));
      }
    }
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
