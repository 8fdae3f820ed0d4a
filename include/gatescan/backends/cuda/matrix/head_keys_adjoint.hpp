#pragma once
// split_keys_adjoint where all keys of a token have one gate: the same contract, by tiles in which
// gates are numbers of a pair of tokens (head_keys_tile). A block has 64 tokens of a head and all
// keys, 64 at a time, the first ones last: what a gate gets of all of them goes to key 0, and 0 to
// the others.

#include "head_keys_tile.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T>
struct head_keys_adjoint {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using fields = typename config::fields;
  static constexpr int keys = config::keys, passes = keys / warp_threads;
  static_assert(config::key_side_keys == warp_threads);

  problem_of<R, T> p;
  time_split chunks;
  stored_states<R, T> states, adjoints;
  output_gradient<R, T> d_o{};
  gradient_stores<R, T> gradients{};

  index_t blocks() const { return chunks.slot_count() * p.n.heads; }
  int threads() const { return config::threads; }
  // tiles of values in two parts leave room for two blocks
  static constexpr int blocks_a_multiprocessor =
      head_keys_memory<R, T>::as_they_stand ? config::blocks_a_multiprocessor : tuned.row_blocks;
  int shared_bytes() const { return shared_size<place>(1) + head_keys_memory<R, T>::bytes; }

  template <class Block>
  GATESCAN_HD GATESCAN_INLINE void operator()(Block& block) const {
    using tile_t = head_keys_tile<R, T, Block>;
    // where the block is waits in shared memory, which leaves registers
    const auto kept = block.template shared<place>(1);
    {
      place here;
      here.head = block.index() % p.n.heads;
      here.chunk = chunks.at(block.index() / p.n.heads);
      auto x = head_operands(p, here.chunk.batch, here.head);
      move_operands<R, T>(x, here.chunk.tokens.first, 0);
      R::operands([](const char*, const axes&, presence, const auto& all, const auto& of_place,
                     auto& found) { found.at = all.given ? of_place.re - all.re : 0; },
                  p.x, x, here.offsets);
      if constexpr (head_keys_memory<R, T>::as_they_stand)
        here.fetches =
            reader_of<false>(here).lies_in_eights() && reader_of<true>(here).lies_in_eights();
      if (block.thread() == 0) kept[0] = here;
    }
    block.sync();
    tile_t tile(block);
    {
      const place here = kept[0];
      if (here.count() > 0) tile.load_gates(operands_at(here, 0), here.count());
    }
    for (tile.go_to_keys(tile_count() - 1); tile.key_tile() >= 0;
         tile.go_to_keys(tile.key_tile() - 1)) {
      if (place(kept[0]).count() > 0) {
        contract(tile, kept);
        bool finite;
        {
          const place here = kept[0];
          finite = tile.reach(operands_at(here, first_of(tile.key_tile())), here.count(),
                              keys_of_tile(tile.key_tile()));
        }
        if (block.any(!finite)) replay(block, tile, kept[0], tile.key_tile());
        if (tile.key_tile() == 0 && block.any(!tile.find_gates()))
          replay_gates(block, tile, kept[0]);
        block.sync();
      }
      for (int pass = 0; pass < passes; ++pass)
        if (tile.key_tile() == 0 && pass == 0)
          finish<true>(block, tile, kept[0], 0, pass);
        else
          finish<false>(block, tile, kept[0], tile.key_tile(), pass);
    }
  }

 private:
  static constexpr int together = tuned.tokens_together;  // whose gradients a thread finds together

  struct place {
    segment chunk;
    index_t head;
    bool fetches = false;  // values and gradients of outputs
    // of operands, to the chunk's first token
    struct offset {
      index_t at = 0;
    };
    typename R::template fields<offset> offsets;
    GATESCAN_HD int count() const { return static_cast<int>(chunk.tokens.count()); }
  };

  GATESCAN_HD int tile_count() const { return static_cast<int>(ceil_divide(p.n.keys, keys)); }
  GATESCAN_HD static index_t first_of(int tile) { return static_cast<index_t>(tile) * keys; }
  GATESCAN_HD int keys_of_tile(int tile) const {
    const index_t left = p.n.keys - first_of(tile);
    return left < keys ? static_cast<int>(left) : keys;
  }
  GATESCAN_HD fields operands_at(const place& here, index_t key) const {
    auto x = p.x;
    R::operands([](const char*, const axes&, presence, auto& o,
                   const auto& found) { o.re += found.at; },  // 0 of what is not given
                x, here.offsets);
    move_operands<R, T>(x, 0, key);
    return x;
  }

  // at the chunk's first token and value
  template <bool OfOutputs>
  GATESCAN_HD value_reader<R, T, OfOutputs> reader_of(const place& here) const {
    auto x = operands_at(here, 0);
    move_operands<R, T>(x, -here.chunk.tokens.first, 0);
    return value_reader<R, T, OfOutputs>(x, d_o, d_o.d_out.of_head(here.chunk.batch, here.head, 0),
                                         here.chunk.batch, here.head)
        .moved(here.chunk.tokens.first, 0);
  }
  template <class Tile, class Kept>
  GATESCAN_HD void contract(Tile& tile, const Kept& kept) const {
    tile.contract(
        p.n.values, [&]() -> bool { return tile.key_tile() == tile_count() - 1; },
        [&]() -> head_keys_extents {
          const place here = kept[0];
          return {here.count(), keys_of_tile(tile.key_tile()), here.fetches};
        },
        [&] { return reader_of<false>(kept[0]); }, [&] { return reader_of<true>(kept[0]); },
        [&](bool of_end) -> const C* {
          const place at = kept[0];
          const auto& of = of_end ? adjoints : states;
          return of.state(at.chunk.slot, at.head) + first_of(tile.key_tile()) * p.n.values;
        });
  }

  // What was finite stays as it is: a NaN changes no bit of what does not depend on it.
  template <class Block, class Tile>
  GATESCAN_HD void replay(Block& block, const Tile& tile, const place& here, int n) const {
    const index_t first = first_of(n);
    replay_each(block, tile, here, first, keys_of_tile(n),
                [&](index_t key, const auto& memory, int at) {
                  const int column = static_cast<int>(key - first);
                  for (int t = 0; t < here.count(); ++t) {
                    float_pair g = tile.gradient(t, column);
                    if (!is_finite(g.first))
                      g.first = memory.d_q[t * Tile::replay_keys_together + at];
                    if (!is_finite(g.second))
                      g.second = memory.d_k[t * Tile::replay_keys_together + at];
                    tile.put_gradient(t, column, g);
                  }
                });
  }
  template <class Block, class Tile>
  GATESCAN_HD void replay_gates(Block& block, const Tile& tile, const place& here) const {
    constexpr int width = Tile::replay_keys_together;
    const int thread = block.thread();
    const auto sums = tile.of_gates();
    if (thread < width)
      for (int t = 0; t < here.count(); ++t) sums[t * width + thread] = 0;
    replay_each(block, tile, here, 0, p.n.keys, [&](index_t, const auto& memory, int at) {
      for (int t = 0; t < here.count(); ++t) {
        const int n = t * width + at;
        sums[n] = sums[n] + memory.d_gate[n];
      }
    });
    block.sync();
    if (thread >= here.count() || is_finite(tile.gate_gradient(thread))) return;
    float sum = 0;
    for (int n = 0; n < width; ++n) sum += sums[thread * width + n];
    tile.put_gate_gradient(thread, sum);
  }
  // f(key, its numbers, where they are), a few keys at once
  template <class Block, class Tile, class F>
  GATESCAN_HD void replay_each(Block& block, const Tile& tile, const place& here, index_t first_key,
                               index_t count, const F& f) const {
    constexpr int width = Tile::replay_keys_together;
    const int thread = block.thread();
    if (thread >= width) return;
    const auto memory = tile.of_replay();
    const auto x = head_operands(p, here.chunk.batch, here.head);
    for (index_t key = first_key + thread; key < first_key + count; key += width) {
      replay_keys<R, T, query_reads::own_token>(p, x, here.chunk, here.head, key, states, adjoints,
                                                d_o, memory, width, thread, width);
      f(key, memory, thread);
    }
  }

  // HasGates: of the block's key 0
  template <bool HasGates, class Block, class Tile>
  GATESCAN_HD void finish(Block& block, const Tile& tile, const place& here, int n,
                          int pass) const {
    const int thread = block.thread_anew(), column = pass * warp_threads + thread % warp_threads,
              group = thread / warp_threads, first = group * config::subchunk, count = here.count();
    if (column >= keys_of_tile(n)) return;
    typename config::sums sums{};
    const index_t key = first_of(n) + column;
    if (first < count) {
      auto x = operands_at(here, key);
      move_operands<R, T>(x, first, 0);
      for (int part = first; part < first + config::subchunk; part += together) {
        registers<typename config::sums, together> d;
        unrolled<together>([&](int i) {
          const float_pair g = tile.gradient(part + i, column);
          const float gate = HasGates && key == 0 ? tile.gate_gradient(part + i) : 0;
          R::keys_adjoint(x, d[i], typename config::cursor{0, 0, 0, 0, 0},
                          keys_of<C>{g.first, g.second, gate});
          if (!HasGates) d[i] = without_gate<R>(d[i]);
          if (part + i + 1 < count) move_operands<R, T>(x, 1, 0);
        });
        gradients.template store_tokens<together>(side::keys, d, count - part, sums, here.chunk,
                                                  here.head, here.chunk.tokens.first + part, key);
      }
    }
    gradients.store_parameters(side::keys, sums, here.chunk, here.head, key, group);
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
