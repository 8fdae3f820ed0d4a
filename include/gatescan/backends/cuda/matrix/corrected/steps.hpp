#pragma once
// The corrected transition token by token: recurrent mode and step, and the segments of a scan.
//
//   S' = a_t * S_{t-1}      u_t = v_t - S'^T p_t      S_t = S' + k_t u_t^T      o_t = S_t^T q_t
//
// and u_t = v_t - S_{t-1}^T p_t with transition::low_rank. What a token writes depends on all keys,
// so that a block has 32 columns of a head's state with all of them: a warp 8 columns, four lanes
// share the keys of one. The order of every sum depends on keys only, so that time may be split
// anywhere.

#include "../lowered/rows.hpp"
#include "../stored_states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// A thread's place in a panel of columns, and its keys' numbers in an array of the block.
struct panel_lane {
  static constexpr int columns = 32, a_warp = 8, parts = 4;
  int thread;

  GATESCAN_HD int column() const { return thread / warp_threads * a_warp + thread % a_warp; }
  GATESCAN_HD int part() const { return thread % warp_threads / a_warp; }
  GATESCAN_HD static constexpr index_t keys_a_lane(index_t keys) {
    return ceil_divide(keys, parts);
  }
  /// Numbers of a block.
  GATESCAN_HD static constexpr index_t panel_size(index_t keys) {
    return keys_a_lane(keys) * parts * columns;
  }
  /// f(key, place in a block's array), for the keys of a lane
  template <class F>
  GATESCAN_HD void for_each_key(index_t keys, F&& f) const {
    index_t at = thread;
    for (index_t key = part(); key < keys; key += parts, at += tuned.block_threads) f(key, at);
  }
  template <class Block, class C>
  GATESCAN_HD static C over_keys(Block& block, C x) {
    x = x + block.shuffle_xor(x, a_warp);
    return x + block.shuffle_xor(x, 2 * a_warp);
  }
};

/// A token's numbers.
template <class C>
struct row_of {
  const C *q, *k, *gate, *p, *v;

  GATESCAN_HD row_of(const token_rows<C>& of, const sizes& n, index_t row)
      : q(of.q + row * n.keys),
        k(of.k + row * n.keys),
        gate(of.gate + row * n.keys),
        p(of.p + row * n.keys),
        v(of.v + row * n.values) {}
};

/// What p reads of a state's entry.
template <transition Moves, class C>
GATESCAN_HD C seen_by_p(C gate, C state) {
  return Moves == transition::low_rank ? state : decayed(gate, state);
}

template <class C, transition Moves>
struct corrected_steps {
  sizes n;
  bool scan = false;
  time_split segments;  // of a scan; else sequences are whole
  token_rows<C> rows{};
  const C* starts = nullptr;  // of a scan: states at segments' starts, [slot][head][key][value]
  operand<const C> initial_state{};
  operand<C> out{}, final_state{};
  C* spilled = nullptr;  // states of blocks, where they are too large for shared memory

  GATESCAN_HD index_t panels() const { return ceil_divide(n.values, panel_lane::columns); }
  index_t items() const {
    return (scan ? segments.slot_count() : n.sequences) * n.heads * panels();
  }
  GATESCAN_HD index_t state_size() const { return panel_lane::panel_size(n.keys); }
  GATESCAN_HD bool spills() const {
    return state_size() * index_t(sizeof(C)) > index_t(tuned.most_panel_bytes);
  }
  void take(arena& memory) {
    if (spills()) spilled = memory.take<C>(items() * state_size());
  }
  index_t blocks() const { return items(); }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return spills() ? 0 : shared_size<C>(state_size()); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    if (spills())
      walk(block, spilled + block.index() * state_size());
    else
      walk(block, block.template shared<C>(static_cast<int>(state_size())));
  }

 private:
  template <class Block, class Array>
  GATESCAN_HD void walk(Block& block, const Array& state) const {
    index_t rest = block.index();
    const panel_lane lane{block.thread()};
    const index_t value = rest % panels() * panel_lane::columns + lane.column();
    const index_t head = (rest /= panels()) % n.heads;
    segment chunk;
    if (scan) {
      chunk = segments.at(rest / n.heads);
    } else {
      chunk.sequence = rest / n.heads, chunk.batch = segments.batch_of(chunk.sequence);
      chunk.tokens = segments.tokens_of(chunk.sequence);
    }
    const bool in_range = value < n.values;
    const C* const start = starts + (chunk.slot * n.heads + head) * n.keys * n.values;
    lane.for_each_key(n.keys, [&](index_t key, index_t at) {
      state[at] = !in_range ? C(0)
                  : scan    ? start[key * n.values + value]
                            : load_state<C>(initial_state, chunk.sequence, head, key, value);
    });
    for (index_t t = chunk.tokens.first; t < chunk.tokens.last; ++t) {
      const row_of<C> token(rows, n, row_at(n, chunk.batch, t, head));
      C read = 0, o = 0;
      lane.for_each_key(n.keys, [&](index_t key, index_t at) {
        read = fma(token.p[key], seen_by_p<Moves>(token.gate[key], C(state[at])), read);
      });
      const C u = (in_range ? token.v[value] : C(0)) - lane.over_keys(block, read);
      lane.for_each_key(n.keys, [&](index_t key, index_t at) {
        const C s = fma(token.k[key], u, decayed(token.gate[key], C(state[at])));
        state[at] = s;
        o = fma(token.q[key], s, o);
      });
      o = lane.over_keys(block, o);
      if (out.given && in_range && lane.part() == 0)
        out.re[out.offset(chunk.batch, t, head) + value * out.value] = o;
    }
    if (scan || !in_range) return;
    lane.for_each_key(n.keys, [&](index_t key, index_t at) {
      store_state(final_state, chunk.sequence, head, key, value, C(state[at]));
    });
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
