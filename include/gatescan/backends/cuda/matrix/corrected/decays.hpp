#pragma once
// What of a corrected chunk meets the states at its ends, and the product of all gates:
//
//   p^_t = p_t prod_{j<=t} a_j        k^_s = k_s prod_{j>s} a_j
//
// and j<t with transition::low_rank.
//
// A thread has a key.

#include "../lowered/rows.hpp"
#include "../stored_states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class T, transition Moves>
struct chunk_decays {
  static constexpr needs of_beside = needs::nothing;
  using C = state_t<T>;

  sizes n;
  time_split chunks;
  token_rows<C> rows{};
  C *p_decayed, *k_decayed;  // rows
  stored_states<row_product, T> to;

  index_t blocks() const {
    return chunks.slot_count() * n.heads * ceil_divide(n.keys, tuned.block_threads);
  }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t tiles = ceil_divide(n.keys, tuned.block_threads);
    index_t rest = block.index();
    const index_t key = rest % tiles * tuned.block_threads + block.thread();
    const index_t head = (rest /= tiles) % n.heads;
    const segment chunk = chunks.at(rest / n.heads);
    if (key >= n.keys) return;
    const auto at = [&](index_t t) { return row_at(n, chunk.batch, t, head) * n.keys + key; };
    C decay = 1;
    double product = 1;
    for (index_t t = chunk.tokens.first; t < chunk.tokens.last; ++t) {
      const C gate = rows.gate[at(t)], before = decay;
      decay = decayed(gate, decay), product = decayed(double(gate), product);
      p_decayed[at(t)] = rows.p[at(t)] * (Moves == transition::low_rank ? before : decay);
    }
    to.product(chunk.slot, head)[key] = product;
    decay = 1;
    for (index_t t = chunk.tokens.last - 1; t >= chunk.tokens.first; --t) {
      k_decayed[at(t)] = rows.k[at(t)] * decay;
      decay = decayed(rows.gate[at(t)], decay);
    }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
