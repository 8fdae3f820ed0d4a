#pragma once
// The system of a chunk whose transition is corrected. With N_ts = p^_t k^_s for s < t, by products
// of gates as all scores are, it solves for values and for keys, [tokens][V] and [tokens][K]:
//
//   forward  (I + N) [U0 | W] = [V | P^]        backward  (I + N)^T [dV0 | Z] = [M^T dO | K^]
//
// so that, of a state S at the chunk's start, U = U0 - W S, and of its gradient G at the end,
// dV = dV0 + Z G. N lies in shared memory, a thread solves a column, 16 tokens at a time in
// registers. No series for the inverse: of unit keys that are alike its terms grow where the
// solution does not.

#include "../chunk_scores.hpp"
#include "../lowered/rows.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class T, transition Moves, bool Adjoint>
struct corrected_system {
  static constexpr needs of_beside = needs::nothing;
  using config = tile_config<row_product, T>;
  using C = typename config::C;
  using scoring = chunk_scores<row_product, T, Adjoint, Moves == transition::low_rank>;
  static constexpr int tokens = config::tokens, subchunk = config::subchunk,
                       subchunks = tokens / subchunk;
  static constexpr int pitch = tokens + 1;  // of [row][token]
  static constexpr int system_pitch = tokens + config::apart;

  problem_of<row_product, T> p;  // with p for its queries
  time_split chunks;             // of no more than 64 tokens
  const C *values, *keys;        // rows of the right side
  C *values_to, *keys_to;        // of the solution; may be the same

  index_t blocks() const { return chunks.slot_count() * p.n.heads; }
  int threads() const { return config::threads; }
  int shared_bytes() const {
    return 3 * shared_size<C>(config::rows * pitch) + shared_size<C>(tokens * system_pitch) +
           shared_size<C>(subchunk * config::score_pitch) + shared_size<C>(4 * config::rows);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t head = block.index() % p.n.heads;
    const segment chunk = chunks.at(block.index() / p.n.heads);
    if (chunk.tokens.count() == 0) return;
    const auto own = block.template shared<C>(config::rows * pitch),
               other = block.template shared<C>(config::rows * pitch),
               gates = block.template shared<C>(config::rows * pitch),
               system = block.template shared<C>(tokens * system_pitch),  // [other][own]
        scores = block.template shared<C>(subchunk * config::score_pitch),
               between = block.template shared<C>(4 * config::rows);
    const auto x = head_operands(p, chunk.batch, head);
    const int thread = block.thread(), count = static_cast<int>(chunk.tokens.count());
    for (int n = thread; n < tokens * system_pitch; n += config::threads) system[n] = C(0);
    for (index_t first_key = 0; first_key < p.n.keys; first_key += config::keys) {
      const index_t left = p.n.keys - first_key;
      const int here = left < config::keys ? static_cast<int>(left) : config::keys;
      block.sync();
      scoring::load_own(block, x, p.n, chunk.tokens, first_key, own);
      scoring::load_other(block, x, p.n, chunk.tokens, first_key, other, gates);
      block.sync();
      scoring::score_own_subchunks(block, here, own, other, gates, scores);
      block.sync();
      for (int n = thread; n < subchunk * tokens; n += config::threads) {
        const int t = n % tokens, s = n / tokens;
        if (Adjoint ? s > t % subchunk : s < t % subchunk)
          add(system, t / subchunk * subchunk + s, t, C(scores[s * config::score_pitch + t]));
      }
      scoring::decay_other(block, other, gates, between);
      block.sync();
      for (int n = 1; n < subchunks; ++n) {
        const int b = Adjoint ? n : subchunks - 1 - n;
        if (b * subchunk >= count) continue;
        scoring::score_subchunk(block, here, true, b, own, other, scores);
        block.sync();
        for (int m = thread; m < subchunk * tokens; m += config::threads)
          if (scoring::sees_subchunk(true, m % tokens / subchunk, b))
            add(system, b * subchunk + m / tokens, m % tokens,
                C(scores[m / tokens * config::score_pitch + m % tokens]));
        scoring::decay_own(block, here, true, b, own, between);
        block.sync();
      }
    }
    block.sync();
    const index_t row = row_at(p.n, chunk.batch, chunk.tokens.first, head);
    for (index_t column = thread; column < p.n.values + p.n.keys; column += config::threads) {
      if (column < p.n.values)
        solve(system, count, values + column, values_to + column, row, p.n.values);
      else
        solve(system, count, keys + column - p.n.values, keys_to + column - p.n.values, row,
              p.n.keys);
    }
  }

 private:
  template <class Array>
  GATESCAN_HD static void add(const Array& system, int other, int own, C score) {
    const int at = other * system_pitch + own;
    system[at] = C(system[at]) + score;
  }
  // tokens in the order in which they are solved
  GATESCAN_HD static int in_order(int n) { return Adjoint ? tokens - 1 - n : n; }

  // a column, in rows `width` numbers long
  template <class Array>
  GATESCAN_HD void solve(const Array& system, int count, const C* from, C* to, index_t first_row,
                         index_t width) const {
    const auto at = [&](int t) { return (first_row + t * p.n.heads) * width; };
    for (int b = 0; b < subchunks; ++b) {
      registers<C, subchunk> x;
      unrolled<subchunk>([&](int n) {
        const int t = in_order(b * subchunk + n);
        x[n] = t < count ? from[at(t)] : C(0);
      });
      for (int s = 0; s < b * subchunk; ++s) {
        const int before = in_order(s);
        if (before >= count) continue;
        const C solved = to[at(before)];
        unrolled<subchunk>([&](int n) {
          x[n] = fma(-C(system[before * system_pitch + in_order(b * subchunk + n)]), solved, x[n]);
        });
      }
      unrolled<subchunk>([&](int n) {
        const int t = in_order(b * subchunk + n);
        unrolled<subchunk>([&](int m) {
          if (m < n && in_order(b * subchunk + m) < count)
            x[n] = fma(-C(system[in_order(b * subchunk + m) * system_pitch + t]), x[m], x[n]);
        });
        if (t < count) to[at(t)] = x[n];
      });
    }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
