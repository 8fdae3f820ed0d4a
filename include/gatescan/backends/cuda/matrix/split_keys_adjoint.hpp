#pragma once
// chunk_keys_adjoint where operands have 16 bits: the same contract, by tiles on matrix units
// (split_keys_tile). A block has 64 tokens and 64 rows of keys, a thread at the end a key of every
// pass and its warp's tokens.

#include "chunk_keys_adjoint.hpp"
#include "split_keys_tile.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T>
struct split_keys_adjoint {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using E = typename config::E;
  using fields = typename config::fields;
  static constexpr int keys = config::keys;
  static_assert(config::key_side_keys == warp_threads);

  problem_of<R, T> p;
  time_split chunks;
  stored_states<R, T> states, adjoints;
  output_gradient<R, T> d_o{};
  gradient_stores<R, T> gradients{};

  index_t blocks() const { return chunks.slot_count() * p.n.heads * ceil_divide(p.n.keys, keys); }
  int threads() const { return config::threads; }
  static constexpr int blocks_a_multiprocessor = config::blocks_a_multiprocessor;
  int shared_bytes() const { return shared_size<place>(1) + split_keys_memory<R, T>::bytes; }

  template <class Block>
  GATESCAN_HD GATESCAN_INLINE void operator()(Block& block) const {
    using tile_t = split_keys_tile<R, T, Block>;
    // where the block is waits in shared memory, which leaves registers
    const auto kept = block.template shared<place>(1);
    {
      const index_t tiles = ceil_divide(p.n.keys, keys);
      index_t rest = block.index();
      place here;
      here.first_key = rest % tiles * keys;
      here.head = (rest /= tiles) % p.n.heads;
      here.chunk = chunks.at(rest / p.n.heads);
      auto x = head_operands(p, here.chunk.batch, here.head);
      move_operands<R, T>(x, here.chunk.tokens.first, here.first_key);
      R::operands([](const char*, const axes&, presence, const auto& all, const auto& of_place,
                     auto& found) { found.at = all.given ? of_place.re - all.re : 0; },
                  p.x, x, here.offsets);
      const index_t left = p.n.keys - here.first_key;
      here.keys = left < keys ? static_cast<int>(left) : keys;
      if (block.thread() == 0) kept[0] = here;
    }
    block.sync();
    tile_t tile(block);
    if (place(kept[0]).count() > 0) {
      contract(tile, kept);
      {
        const place here = kept[0];
        tile.reach(operands_at(here), here.count(), here.keys);
      }
      bool finite = true;
      for (int pass = 0; pass < tile_t::passes; ++pass) {
        const place here = kept[0];
        finite = tile.sweep(operands_at(here), here.count(), here.keys, pass) && finite;
      }
      if (block.any(!finite)) {
        replay(block, tile, kept[0]);
        block.sync();
      }
    }
    for (int pass = 0; pass < tile_t::passes; ++pass) finish(block, tile, kept[0], pass);
  }

 private:
  static constexpr int together = tuned.tokens_together;  // whose gradients a thread finds together

  struct place {
    segment chunk;
    index_t head, first_key;
    int keys;  // from there on, of the tile
    // of operands, to its first token and key
    struct offset {
      index_t at = 0;
    };
    typename R::template fields<offset> offsets;
    GATESCAN_HD int count() const { return static_cast<int>(chunk.tokens.count()); }
  };

  GATESCAN_HD fields operands_at(const place& here) const {
    auto x = p.x;
    R::operands(
        [](const char*, const axes&, presence, auto& o, const auto& found) {
          o.re += found.at;  // 0 of what is not given
          if (config::complex && o.im != nullptr) o.im += found.at;
        },
        x, here.offsets);
    return x;
  }

  template <class Tile, class Kept>
  GATESCAN_HD void contract(Tile& tile, const Kept& kept) const {
    const auto reader = [&](auto of_outputs) {
      const place here = kept[0];
      auto x = operands_at(here);
      move_operands<R, T>(x, -here.chunk.tokens.first, -here.first_key);
      return value_reader<R, T, decltype(of_outputs)::value>(
                 x, d_o, d_o.d_out.of_head(here.chunk.batch, here.head, 0), here.chunk.batch,
                 here.head)
          .moved(here.chunk.tokens.first, 0);
    };
    tile.contract(
        p.n.values,
        [&]() -> tile_extents<config> {
          const place here = kept[0];
          return {here.count(), here.keys};
        },
        [&] { return reader(std::false_type{}); }, [&] { return reader(std::true_type{}); },
        [&](bool of_end) -> state_rows_of {
          const place at = kept[0];
          const auto& of = of_end ? adjoints : states;
          const C* const first = of.state(at.chunk.slot, at.head) + at.first_key * p.n.values;
          return {first, first + of.plane(), p.n.values};
        });
  }

  // What was finite stays as it is: a NaN changes no bit of what does not depend on it.
  template <class Block, class Tile>
  GATESCAN_HD void replay(Block& block, const Tile& tile, const place& here) const {
    const int thread = block.thread();
    if (thread >= Tile::replay_keys_together) return;
    const auto memory = tile.of_replay();
    constexpr int plane = Tile::replay_keys_together;
    const auto x = head_operands(p, here.chunk.batch, here.head);
    for (int column = thread; column < here.keys; column += Tile::replay_keys_together) {
      replay_keys<R, T, query_reads::own_token>(p, x, here.chunk, here.head,
                                                here.first_key + column, states, adjoints, d_o,
                                                memory, Tile::replay_pitch, thread, plane);
      for (int t = 0; t < here.count(); ++t) {
        const int at = t * Tile::replay_pitch + thread;
        keys_of<E> g = tile.gradient(t, column);
        if (!is_finite(g.q)) g.q = number_at<E>(memory.d_q, at, plane);
        if (!is_finite(g.k)) g.k = number_at<E>(memory.d_k, at, plane);
        if (!is_finite(g.gate)) g.gate = number_at<E>(memory.d_gate, at, plane);
        tile.put_gradient(t, column, g);
      }
    }
  }

  template <class Block, class Tile>
  GATESCAN_HD void finish(Block& block, const Tile& tile, const place& here, int pass) const {
    const int thread = block.thread_anew(), column = pass * warp_threads + thread % warp_threads,
              group = thread / warp_threads, first = group * config::subchunk, count = here.count();
    if (column >= here.keys) return;
    typename config::sums sums{};
    const index_t key = here.first_key + column;
    if (first < count) {
      auto x = operands_at(here);
      move_operands<R, T>(x, first, column);
      for (int part = first; part < first + config::subchunk; part += together) {
        registers<typename config::sums, together> d;
        unrolled<together>([&](int i) {
          R::keys_adjoint(x, d[i], typename config::cursor{0, 0, 0, 0, 0},
                          tile.gradient(part + i, column));
          if (part + i + 1 < count) move_operands<R, T>(x, 1, 0);
        });
        gradients.template store_tokens<together>(side::keys, d, count - part, sums, here.chunk,
                                                  here.head, here.chunk.tokens.first + part, key);
      }
    }
    gradients.store_parameters(side::keys, sums, here.chunk, here.head, key, group);
  }
};

/// The program for a format.
template <class R, class T>
using keys_adjoint = std::conditional_t<tile_config<R, T>::splits, split_keys_adjoint<R, T>,
                                        chunk_keys_adjoint<R, T>>;

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
