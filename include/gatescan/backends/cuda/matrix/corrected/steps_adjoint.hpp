#pragma once
// Backward of recurrent mode with a corrected transition, token by token: with G the gradient of
// the state after token t, [keys][values],
//
//   G += q_t do_t^T                       dq_t = S_t do_t
//   dv_t = G^T k_t                        dk_t = G u_t
//   G' = G - p_t dv_t^T                   dp_t = -S' dv_t
//   da_t = sum over values of G' * S_{t-1}                     G_{t-1} = a_t * G'
//
// and with transition::low_rank dp_t = -S_{t-1} dv_t, G_{t-1} = a_t * G - p_t dv_t^T.
//
// States are kept at the starts of chunks of about sqrt(L) tokens and computed again chunk by
// chunk, as forward computes them. A block has one head and works through panels of 32 values, all
// keys of each.

#include "steps.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class C, transition Moves>
struct corrected_steps_adjoint {
  static constexpr int warps = tuned.block_threads / warp_threads;
  static constexpr int together = 64;  // keys whose sums over values are added up at once

  sizes n;
  time_split sequences;  // every sequence is one chunk
  index_t run = 16;
  token_rows<C> rows{};
  operand<const C> initial_state{};
  const C* d_o = nullptr;  // rows
  operand<const C> d_final{};
  gradient_sink<C, C> d_initial{};
  token_rows<C> d{};  // d.p: the negative of p's gradient
  C *kept = nullptr, *replayed = nullptr, *writes = nullptr, *adjoint = nullptr;  // of blocks

  index_t blocks() const { return sequences.slot_count() * n.heads; }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return shared_size<C>(3 * warps * together); }
  GATESCAN_HD index_t state_size() const { return panel_lane::panel_size(n.keys); }
  GATESCAN_HD index_t runs() const { return ceil_divide(n.time, run); }
  void take(arena& memory) {
    kept = memory.take<C>(blocks() * runs() * state_size());
    replayed = memory.take<C>(blocks() * run * state_size());
    writes = memory.take<C>(blocks() * run * tuned.block_threads);
    adjoint = memory.take<C>(blocks() * state_size());
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t head = block.index() % n.heads;
    const segment chunk = sequences.at(block.index() / n.heads);
    if (chunk.index != 0) return;  // a slot after the last token has nothing
    const auto partial = block.template shared<C>(3 * warps * together);
    for (index_t first = 0; first < n.values; first += panel_lane::columns)
      differentiate(block, chunk, head, first, partial);
  }

 private:
  // u, and the state from `from` to `to`
  template <class Block>
  GATESCAN_HD C step(Block& block, const panel_lane& lane, const row_of<C>& token, C v,
                     const C* from, C* to) const {
    C read = 0;
    lane.for_each_key(n.keys, [&](index_t key, index_t at) {
      read = fma(token.p[key], seen_by_p<Moves>(token.gate[key], from[at]), read);
    });
    const C u = v - lane.over_keys(block, read);
    lane.for_each_key(n.keys, [&](index_t key, index_t at) {
      to[at] = fma(token.k[key], u, decayed(token.gate[key], from[at]));
    });
    return u;
  }

  template <class Block, class Array>
  GATESCAN_HD void differentiate(Block& block, const segment& chunk, index_t head,
                                 index_t first_value, const Array& partial) const {
    const panel_lane lane{block.thread()};
    const index_t value = first_value + lane.column(), size = state_size(),
                  count = chunk.tokens.count();
    const bool in_range = value < n.values;
    C* const starts = kept + block.index() * runs() * size;
    C* const states = replayed + block.index() * run * size;
    C* const u = writes + block.index() * run * tuned.block_threads + block.thread();
    C* const g = adjoint + block.index() * size;
    const auto row = [&](index_t t) {
      return row_at(n, chunk.batch, chunk.tokens.first + t, head);
    };
    const auto value_at = [&](const C* of, index_t t) {
      return in_range ? of[row(t) * n.values + value] : C(0);
    };
    lane.for_each_key(n.keys, [&](index_t key, index_t at) {
      starts[at] = in_range ? load_state<C>(initial_state, chunk.sequence, head, key, value) : C(0);
      g[at] = in_range ? load_state<C>(d_final, chunk.sequence, head, key, value) : C(0);
    });
    const index_t pieces = ceil_divide(count, run);
    for (index_t piece = 1; piece < pieces; ++piece) {
      C* const state = starts + piece * size;
      lane.for_each_key(n.keys, [&](index_t, index_t at) { state[at] = (state - size)[at]; });
      for (index_t t = (piece - 1) * run; t < piece * run; ++t)
        step(block, lane, row_of<C>(rows, n, row(t)), value_at(rows.v, t), state, state);
    }
    for (index_t piece = pieces - 1; piece >= 0; --piece) {
      const index_t first = piece * run, left = count - first, here = left < run ? left : run;
      const C* state = starts + piece * size;
      for (index_t t = 0; t < here; ++t) {  // states[t]: after the token
        u[t * tuned.block_threads] = step(block, lane, row_of<C>(rows, n, row(first + t)),
                                          value_at(rows.v, first + t), state, states + t * size);
        state = states + t * size;
      }
      for (index_t t = here - 1; t >= 0; --t) {
        const C* const before = t > 0 ? states + (t - 1) * size : starts + piece * size;
        step_back(block, lane, row(first + t), first_value, value_at(d_o, first + t),
                  u[t * tuned.block_threads], before, states + t * size, g, partial);
      }
    }
    lane.for_each_key(n.keys, [&](index_t key, index_t at) {
      if (!in_range) return;
      accumulator<C> sum;
      const cursor<C, false> here{chunk.sequence, 0, head, key, value};
      here.add(sum, g[at]);
      d_initial.store(here, chunk.sequence, 0, sum);
    });
  }

  template <class Block, class Array>
  GATESCAN_HD void step_back(Block& block, const panel_lane& lane, index_t row, index_t first_value,
                             C d_out, C u, const C* before, const C* after, C* g,
                             const Array& partial) const {
    const row_of<C> token(rows, n, row);
    const index_t value = first_value + lane.column();
    const bool adds = first_value > 0, in_range = value < n.values;  // 0 times Inf is not nothing
    C d_value = 0;
    sum_over_values<1>(block, lane, adds, row, {d.q}, partial,
                       [&](index_t key, index_t at, registers<C, 1>& sums) {
                         g[at] = fma(token.q[key], d_out, g[at]);
                         d_value = fma(token.k[key], g[at], d_value);
                         if (in_range) sums[0] = after[at] * d_out;
                       });
    d_value = lane.over_keys(block, d_value);
    sum_over_values<3>(block, lane, adds, row, {d.k, d.p, d.gate}, partial,
                       [&](index_t key, index_t at, registers<C, 3>& sums) {
                         if (!in_range) return;
                         const C gate = token.gate[key];
                         sums[0] = g[at] * u;
                         sums[1] = seen_by_p<Moves>(gate, before[at]) * d_value;
                         const C minus_p = -token.p[key];
                         if (Moves == transition::low_rank) {
                           sums[2] = g[at] * before[at];
                           g[at] = fma(minus_p, d_value, decayed(gate, g[at]));
                         } else {
                           const C after_gate = fma(minus_p, d_value, g[at]);
                           sums[2] = after_gate * before[at];
                           g[at] = decayed(gate, after_gate);
                         }
                       });
    if (in_range && lane.part() == 0) d.v[row * n.values + value] = d_value;
  }

  template <int N>
  struct targets {
    C* to[static_cast<std::size_t>(N)];
  };
  // f gives N numbers a key and column; their sums over columns go to rows of keys
  template <int N, class Block, class Array, class F>
  GATESCAN_HD void sum_over_values(Block& block, const panel_lane& lane, bool adds, index_t row,
                                   const targets<N>& to, const Array& partial, F&& f) const {
    const int warp = block.thread() / warp_threads;
    index_t at = block.thread();
    for (index_t first = 0; first < n.keys; first += together) {
      block.sync();
      for (int m = lane.part(); m < together; m += panel_lane::parts, at += tuned.block_threads) {
        registers<C, N> sums = {};
        if (first + m - lane.part() >= n.keys) break;  // of all lanes
        if (first + m < n.keys) f(first + m, at, sums);
        unrolled<N>([&](int i) {
          for (int x = 1; x < panel_lane::a_warp; x *= 2)
            sums[i] = sums[i] + block.shuffle_xor(sums[i], x);
          if (block.thread() % panel_lane::a_warp == 0)
            partial[(i * warps + warp) * together + m] = sums[i];
        });
      }
      block.sync();
      const int m = block.thread();
      unrolled<N>([&](int i) {
        if (m >= together || first + m >= n.keys) return;
        C& sum = to.to[i][row * n.keys + first + m];
        C total = adds ? sum : C(0);
        for (int w = 0; w < warps; ++w) total = total + C(partial[(i * warps + w) * together + m]);
        sum = total;
      });
    }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
