#pragma once
// Last pass over chunks: outputs, or backward the gradient of the values. With P_ts = Re sum_i
// q_t[i] k_s[i] prod_{j=s+1..t} a_j[i] for s <= t
//
//   o_t  = sum_s P_ts v_s   + Re(q_t prod_{j<=t} a_j . state at the chunk's start)
//   dv_s = sum_t P_ts do_t  + Re(k_s prod_{j>s} a_j . conj(gradient of the state at its end))
//
// A block makes a tile of o, [64 tokens][values], from its own side (queries, backward keys) and
// the other side (keys, backward queries), both [keys][64 tokens] in shared memory. Pairs inside a
// subchunk of 16 tokens are scored by running products of gates. Then the own side goes past the
// other one's subchunks, away from the diagonal, multiplied by the gates between: no division, no
// exponential but the recurrence's own (split_scan.hpp, and head_scan.hpp of one gate a head: the
// same of operands of 16 bits). A tile with something not finite is computed again token by token.

#include "chunk_scores.hpp"
#include "chunk_state.hpp"
#include "head_scan.hpp"
#include "scan_results.hpp"
#include "split_scan.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, bool Adjoint, bool HeadGate = false>
struct chunk_scan : scan_results<R, T, Adjoint> {
  static constexpr needs of_beside = needs::state;
  using base = scan_results<R, T, Adjoint>;
  using base::p, base::chunks, base::d_o;
  using typename base::config, typename base::C;
  using sums_t = product_sums<config, config::tokens, config::values>;
  static constexpr int pitch = config::tokens + 1;  // of [row][token]
  // tokens, then a tile of states
  static constexpr int other_size =
      config::rows * (pitch > config::value_pitch ? pitch : config::value_pitch);
  static constexpr int tile_size = config::tokens * config::values;
  GATESCAN_HD index_t tiles_a_chunk() const { return ceil_divide(chunks.tokens, config::tokens); }
  index_t value_tiles() const { return ceil_divide(p.n.values, config::values); }
  // Where chunks are long, of packed sequences few fill one: their tiles are found as short chunks
  // are.
  GATESCAN_HD bool finds_tiles() const {
    return !Adjoint && (chunks.tokens >= p.n.time || chunks.tokens % config::tokens == 0);
  }
  GATESCAN_HD time_split tiles() const { return time_split(p.n, p.offsets, config::tokens); }
  index_t blocks() const {
    const index_t all =
        finds_tiles() ? tiles().slot_count() : chunks.slot_count() * tiles_a_chunk();
    return all * p.n.heads * value_tiles();
  }
  int threads() const { return config::threads; }
  static constexpr int blocks_a_multiprocessor = config::blocks_a_multiprocessor;
  int shared_bytes() const {
    if constexpr (config::splits) {
      using memory_of_tile =
          std::conditional_t<HeadGate, head_scan_memory<R, T>, split_tile_memory<R, T>>;
      constexpr int first = memory_of_tile::bytes,
                    then = 2 * shared_size<C>(tile_size) + shared_size<C>(4 * config::values);
      return shared_size<place>(1) + (first > then ? first : then);
    } else {
      return 2 * shared_size<C>(config::rows * pitch) + shared_size<C>(other_size) +
             shared_size<C>(config::tokens * config::value_pitch) +
             shared_size<C>(config::subchunk * config::score_pitch) +
             shared_size<C>(4 * config::rows);
    }
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t values_split = ceil_divide(p.n.values, config::values);
    index_t rest = block.index();
    const index_t first_value = rest % values_split * config::values;
    const index_t head = (rest /= values_split) % p.n.heads;
    rest /= p.n.heads;
    index_t tile = 0;
    segment chunk;
    if (finds_tiles()) {
      chunk = tiles().at(rest);
      if (chunk.tokens.count() == 0) return;
      const index_t past = chunk.index * config::tokens;
      tile = past % chunks.tokens / config::tokens;
      chunk = chunks.of(chunk.sequence, past / chunks.tokens);
    } else {
      tile = rest % tiles_a_chunk();
      chunk = chunks.at(rest / tiles_a_chunk());
    }
    const index_t first = chunk.tokens.first + tile * config::tokens;
    if (first < chunk.tokens.last) {
      const index_t last = first + config::tokens;
      const token_range mine{first, last < chunk.tokens.last ? last : chunk.tokens.last};
      compute(block, chunk, head, mine, first_value);
    } else if (Adjoint) {
      this->store_parameters(block, chunk, head, first_value, typename config::sums{});
    }
  }

 private:
  // A block's tile.
  struct place {
    segment chunk;
    token_range mine;
    index_t head, first_value;
  };
  template <class Block>
  GATESCAN_HD void compute(Block& block, const segment& chunk, index_t head,
                           const token_range& mine, index_t first_value) const {
    const auto x = head_operands(p, chunk.batch, head);
    const auto head_d_out = d_o.d_out.of_head(chunk.batch, head, 0);
    if constexpr (config::splits) {
      // what is needed again only at the end waits in shared memory, which leaves registers
      const auto kept = block.template shared<place>(1);
      if (block.thread() == 0) kept[0] = place{chunk, mine, head, first_value};
      Block memory = block;
      auto there = x;
      move_operands<R, T>(there, mine.first, 0);
      const index_t seen_tokens =
          Adjoint ? chunk.tokens.last - mine.first : mine.first - chunk.tokens.first;
      const index_t others = (seen_tokens - (Adjoint ? 1 : 0)) / config::tokens,
                    last_count = Adjoint ? seen_tokens - others * config::tokens : config::tokens,
                    left = p.n.values - first_value;
      std::conditional_t<HeadGate, head_scan<R, T, Adjoint, Block>,
                         split_scan<R, T, Adjoint, Block>>
          tile(block, there,
               {static_cast<int>(mine.count()),
                left < config::values ? static_cast<int>(left) : config::values,
                static_cast<int>(others), static_cast<int>(last_count)});
      tile.run(
          p.n.keys,
          [&] {
            const place here = kept[0];
            const auto of_head = head_operands(p, here.chunk.batch, here.head);
            return value_reader<R, T, Adjoint>(of_head, d_o,
                                               d_o.d_out.of_head(here.chunk.batch, here.head, 0),
                                               here.chunk.batch, here.head)
                .moved(here.mine.first, here.first_value);
          },
          [&] {
            const place here = kept[0];
            return this->state_of(here.chunk, here.head, here.first_value);
          });
      block.sync();
      const auto result = memory.template shared<C>(tile_size),
                 again = memory.template shared<C>(tile_size),
                 seen = memory.template shared<C>(4 * config::values);
      const int warp = block.thread() / warp_threads;
      tile.for_each_seen(
          [&](int column, int t) { seen[warp * config::values + column] = static_cast<C>(t); });
      const auto for_each = [&](const auto& f) { tile.for_each(f); };
      const place here = kept[0];
      this->settle(block, head_operands(p, here.chunk.batch, here.head),
                   d_o.d_out.of_head(here.chunk.batch, here.head, 0), here.chunk, here.head,
                   here.mine, here.first_value, for_each, result, again, seen, 4 * config::values);
    } else {
      compute_by_subchunks(block, x, head_d_out, chunk, head, mine, first_value);
    }
  }

  template <class Block, class Gradient>
  GATESCAN_HD void compute_by_subchunks(Block& block, const typename config::fields& x,
                                        const Gradient& head_d_out, const segment& chunk,
                                        index_t head, const token_range& mine,
                                        index_t first_value) const {
    const auto value_at = [&](index_t time, index_t value) -> C {
      if constexpr (Adjoint)
        return d_o(x, head_d_out, chunk.batch, head, time, value);
      else
        return R::values(x, typename config::cursor{0, time, 0, 0, value}).v;
    };
    const auto own = block.template shared<C>(config::rows * pitch);
    const auto other = block.template shared<C>(other_size);
    const auto gates = block.template shared<C>(config::rows * pitch);
    const auto values = block.template shared<C>(config::tokens * config::value_pitch);
    const auto scores = block.template shared<C>(config::subchunk * config::score_pitch);
    const auto between = block.template shared<C>(4 * config::rows);
    const int thread = block.thread();
    using scoring = chunk_scores<R, T, Adjoint>;
    sums_t sum;
    // Of the thread's column the first own token (backward the last) that sees a value that is not
    // finite. Such values are left out: in products 0 times NaN would reach tokens that do not.
    int first_non_finite = Adjoint ? -1 : config::tokens;

    for (index_t first_key = 0; first_key < p.n.keys; first_key += config::keys) {
      const index_t keys_left = p.n.keys - first_key;
      const int keys = keys_left < config::keys ? static_cast<int>(keys_left) : config::keys;
      scoring::load_own(block, x, p.n, mine, first_key, own);
      // tiles of tokens from the own one on, away from it
      const index_t aligned = chunk.tokens.first;
      for (index_t t = mine.first; t >= aligned && t < chunk.tokens.last;
           t += Adjoint ? config::tokens : -config::tokens) {
        const index_t end = t + config::tokens;
        const token_range there{t, end < chunk.tokens.last ? end : chunk.tokens.last};
        const bool diagonal = t == mine.first;
        scoring::load_other(block, x, p.n, there, first_key, other, gates);
        stage<config::tokens * config::values, config::threads>(
            thread,
            [&](int n) -> C {
              const index_t value = first_value + n % config::values;
              const bool inside = n / config::values < there.count() && value < p.n.values;
              const C number = value_at(there.clamped(n / config::values),
                                        value < p.n.values ? value : p.n.values - 1);
              return inside ? number : C(0);
            },
            [&](int n, C number) {
              if (!is_finite(number)) {
                number = 0;
                const int seen = diagonal ? n / config::values : Adjoint ? config::tokens : 0;
                first_non_finite = Adjoint == (seen > first_non_finite) ? seen : first_non_finite;
              }
              values[n / config::values * config::value_pitch + n % config::values] = number;
            });
        block.sync();
        if (diagonal) {
          scoring::score_own_subchunks(block, keys, own, other, gates, scores);
          block.sync();
          add_own_subchunks(block, scores, values, sum);
        }
        scoring::decay_other(block, other, gates, between);
        block.sync();
        for (int n = 0; n < config::tokens / config::subchunk; ++n) {
          const int b = Adjoint ? n : config::tokens / config::subchunk - 1 - n;
          // nobody sees the first one whole, and empty ones change nothing
          if ((diagonal && n == 0) || t + b * config::subchunk >= there.last) continue;
          scoring::score_subchunk(block, keys, diagonal, b, own, other, scores);
          block.sync();
          // only by those that see them
          const int begin = diagonal && !Adjoint ? (b + 1) * config::subchunk : 0,
                    to = diagonal && Adjoint ? b * config::subchunk : config::tokens;
          sum.add(block, begin, to, config::subchunk, scores, config::score_pitch,
                  values + b * config::subchunk * config::value_pitch, config::value_pitch);
          scoring::decay_own(block, keys, diagonal, b, own, between);
          block.sync();
        }
      }
      // own tokens now see the chunk's start (backward: its end)
      const auto from = this->state_of(chunk, head);
      stage<config::rows * config::values, config::threads>(
          thread,
          [&](int n) -> C {
            const int row = n / config::values;
            const index_t key = first_key + row % config::keys,
                          value = first_value + n % config::values;
            const bool inside = key < p.n.keys && value < p.n.values;
            const C number =
                base::state_part(from, row >= config::keys, inside ? key : 0, inside ? value : 0);
            return !inside ? C(0) : !Adjoint && row >= config::keys ? -number : number;
          },
          [&](int n, C number) {
            other[n / config::values * config::value_pitch + n % config::values] = number;
          });
      block.sync();
      for (int row = 0; row < config::rows; row += config::keys)
        sum.add(block, keys, own + row * pitch, pitch, other + row * config::value_pitch,
                config::value_pitch);
      block.sync();
    }
    gates[thread] = static_cast<C>(first_non_finite);
    const auto for_each = [&](const auto& f) { sum.for_each(thread, f); };
    this->settle(block, x, head_d_out, chunk, head, mine, first_value, for_each, own, other, gates,
                 config::threads);
  }

  // P v of the tokens' own subchunks: scores are [token of the subchunk][token]
  template <class Block, class Array>
  GATESCAN_HD void add_own_subchunks(Block& block, const Array& scores, const Array& values,
                                     sums_t& sum) const {
    const int thread = block.thread();
    if constexpr (config::by_warps) {
      sum.add(block, config::subchunk, scores, config::score_pitch,
              values + thread / warp_threads * config::subchunk * config::value_pitch,
              config::value_pitch);
    } else {
      add_exactly(thread, scores, values, sum);
    }
  }
  template <class Array>
  GATESCAN_HD void add_exactly(int thread, const Array& scores, const Array& values,
                               sums_t& sum) const {
    for (int s = 0; s < config::subchunk; ++s)
      for (int m = 0; m < sums_t::rows; ++m) {
        const int t = sums_t::row(thread, m),
                  row = (t / config::subchunk * config::subchunk + s) * config::value_pitch;
        const C score = scores[s * config::score_pitch + t];
        for (int n = 0; n < sums_t::columns; ++n)
          sum.sum[m][n] = fma(score, C(values[row + sums_t::column(thread, n)]), sum.sum[m][n]);
      }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
