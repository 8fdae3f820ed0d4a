#pragma once
// Weights in log space, before the prologue: m goes through the tokens of every head in order and
// leaves each token's weights in scratch (core/token_weights.hpp). A warp a sequence and head: its
// lanes make the logarithms of 32 tokens, all lanes take m through them, and each keeps its own.

#include "../../../../core/stages.hpp"
#include "../../operands/token_cursor.hpp"
#include "rows.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// Scratch for the weights of all tokens.
template <class R, class T>
token_weights<state_t<T>> take_token_weights(arena& memory, const sizes& n) {
  if constexpr (has_log_weights<R>)
    return {memory.take<token_weight<state_t<T>>>(row_count(n)), n.batch, n.time};
  else
    return {};
}

template <class R, class T>
struct find_token_weights {
  static constexpr needs of_beside = needs::state;
  using C = state_t<T>;
  using weight = token_weight<C>;
  static constexpr int warps = tuned.block_threads / warp_threads;

  problem_of<R, T> p;  // weights: where they go
  time_split sequences;
  operand<C> last;  // m after each sequence

  index_t blocks() const { return ceil_divide(p.n.sequences * p.n.heads, warps); }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t item = block.index() * warps + block.thread() / warp_threads;
    if (item >= p.n.sequences * p.n.heads) return;
    const index_t sequence = item / p.n.heads, head = item % p.n.heads,
                  batch = sequences.batch_of(sequence);
    const int lane = block.thread() % warp_threads;
    const auto x = head_operands(p, batch, head);
    const token_range all = sequences.tokens_of(sequence);
    weight* const to = p.weights.of_head(batch, head);
    const auto logs = [&](index_t t) {
      return R::log_weights(x, own_token_cursor<C>{t < all.last ? t : all.last - 1, p.n.keys});
    };
    const operand<const C>& first = p.initial_state.log_scale;
    C m = first.given ? first.re[first.offset(sequence, 0, head)] : C(weight::never);
    if (all.count() > 0) {
      auto next = logs(all.first + lane);
      for (index_t t = all.first; t < all.last; t += warp_threads) {
        const auto here = next;
        next = logs(t + warp_threads + lane);
        C before = m;
        for (int i = 0; i < warp_threads; ++i) {
          const C gate = block.shuffle(here.gate, i), key = block.shuffle(here.key, i);
          if (i == lane) before = m;
          if (t + i < all.last) m = weight::after(m, gate, key).log_scale;
        }
        if (t + lane < all.last) to[t + lane] = weight::after(before, here.gate, here.key);
      }
    }
    if (last.given && lane == 0) last.re[last.offset(sequence, 0, head)] = m;
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
