#pragma once
// chunk_state where operands have 16 bits: the same contract, [64 keys][values] on matrix units
// from tiles of 64 tokens in shared memory, where a number is split in bfloat16 once. A warp loads
// 16 tokens, a thread two neighbouring keys of each, or a complex one, and warps tell each other
// the products of their gates: keys are multiplied by those between them and the chunk's end
// (backward its start). A block goes through several tiles of values with the same keys.
//
// Keys times gates have three parts, and values as many as they need: sums with no error but that
// of float. With one gate a head (HeadGate) a lane has a token's, not a gate a key.

#include "chunk_state.hpp"
#include "group_rows.hpp"
#include "lane_keys.hpp"
#include "split_rows.hpp"
#include "stored_states.hpp"
#include "value_reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, bool Adjoint, bool HeadGate = false>
struct split_chunk_state {
  static constexpr needs of_beside = needs::nothing;
  using config = tile_config<R, T>;
  using C = typename config::C;
  using D = typename config::D;
  using E = typename config::E;

  problem_of<R, T> p;
  time_split chunks;
  stored_states<R, T> to;
  output_gradient<R, T> d_o{};

  static constexpr int values_a_block = tuned.state_value_tiles * config::values;
  index_t key_tiles() const { return ceil_divide(p.n.keys, config::keys); }
  index_t value_groups() const { return ceil_divide(p.n.values, values_a_block); }
  index_t blocks() const { return chunks.slot_count() * p.n.heads * key_tiles() * value_groups(); }
  int threads() const { return config::threads; }
  static constexpr int blocks_a_multiprocessor = config::blocks_a_multiprocessor;
  int shared_bytes() const {
    return shared_size<place>(1) + split_bytes<config::rows, key_parts>(config::tokens) +
           value_bytes(config::tokens) + shared_size<float_pair>(subchunks * pairs) +
           shared_size<D>(subchunks * config::keys);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    // where the block is waits in shared memory, which leaves registers
    const auto kept = block.template shared<place>(1);
    place here;
    {
      const index_t groups = ceil_divide(p.n.values, values_a_block),
                    tiles = ceil_divide(p.n.keys, config::keys);
      index_t rest = block.index();
      here.first_value = rest % groups * values_a_block;
      here.first_key = (rest /= groups) % tiles * config::keys;
      here.head = (rest /= tiles) % p.n.heads;
      here.chunk = chunks.at(rest / p.n.heads);
      if (here.chunk.tokens.count() == 0) return;
      if (block.thread() == 0) kept[0] = here;
    }
    worker<Block> work(block, smaller(p.n.keys - here.first_key, config::keys));
    const index_t count = here.chunk.tokens.count(), turns = ceil_divide(count, config::tokens);
    const int values = smaller(p.n.values - here.first_value, values_a_block);
    const bool counts = !Adjoint && here.first_value == 0;
    block.sync();
    for (int value = 0; value < values; value += config::values) {
      const int there = smaller(values - value, config::values);
      work.begin();
      for (index_t turn = 0; turn < turns; ++turn) {
        const index_t tile = (Adjoint ? turn : turns - 1 - turn) * config::tokens;
        const int tokens = smaller(count - tile, config::tokens);
        if (turn > 0 || value > 0) block.sync();
        {
          const place of = kept[0];
          const value_reader<R, T, Adjoint> reader(head_operands(p, of.chunk.batch, of.head), d_o,
                                                   d_o.d_out.of_head(of.chunk.batch, of.head, 0),
                                                   of.chunk.batch, of.head);
          work.load_values(reader.moved(of.chunk.tokens.first + tile, of.first_value), tokens,
                           value, there);
        }
        if (turns > 1 || value == 0) {
          const place of = kept[0];
          auto x = head_operands(p, of.chunk.batch, of.head);
          move_operands<R, T>(x, of.chunk.tokens.first + tile, of.first_key);
          work.load_keys(x, tokens, counts && value == 0);
        }
        if constexpr (as_it_stands) block.template wait_for_fetches<0>();
        if constexpr (by_groups) block.show_stores();
        block.sync();
        work.multiply(tokens);
      }
      const place of = kept[0];
      C* const state =
          to.state(of.chunk.slot, of.head) + of.first_key * p.n.values + of.first_value + value;
      work.store(state, to.plane(), p.n.values, there);
    }
    const place of = kept[0];
    if (counts)
      work.store_products(head_operands(p, of.chunk.batch, of.head),
                          to.product(of.chunk.slot, of.head) + of.first_key);
  }

 private:
  static constexpr int pairs = config::rows / 2, subchunk = config::subchunk,
                       subchunks = config::tokens / subchunk;
  static_assert(pairs == warp_threads && subchunks * warp_threads == config::threads &&
                config::rows == subchunks * 16);
  // an operand in bfloat16 as it stands is one, and comes as it lies in memory
  static constexpr bool as_it_stands = value_reader<R, T, Adjoint>::as_it_stands;
  static constexpr int key_parts = 3, value_parts = as_it_stands ? 1 : is_in_parts<T> ? 3 : 2;
  // values of warpgroups lie as those read them
  static constexpr bool by_groups = is_by_warpgroups<T>;
  static_assert(!by_groups || (config::values == 64 && config::threads == 128));
  template <class Block>
  using value_rows = std::conditional_t<by_groups, group_rows<Block, value_parts>,
                                        split_rows<Block, config::values, value_parts>>;
  using value_layout = std::conditional_t<by_groups, group_layout, split_layout<config::values>>;
  GATESCAN_HD static constexpr int value_bytes(int tokens) {
    if constexpr (by_groups)
      return group_bytes<value_parts>(tokens);
    else
      return split_bytes<config::values, value_parts>(tokens);
  }
  GATESCAN_HD static int smaller(index_t a, int b) { return a < b ? static_cast<int>(a) : b; }

  struct place {
    segment chunk;
    index_t head, first_key, first_value;
  };

  // A block's tiles in shared memory, and a thread's part of the sums.
  template <class Block>
  class worker {
    using fields = typename config::fields;
    using keys_of_lane = lane_keys<E>;
    static constexpr int keys_a_lane = keys_of_lane::count, groups = config::values / 16;

   public:
    GATESCAN_HD worker(Block& block, int keys)
        : block_(block),
          warp_(block.thread() / warp_threads),
          lane_(block.thread() % warp_threads),
          key_count_(keys),
          keys_(block, config::tokens, lane_),
          at_values_(block),
          values_(block, config::tokens, lane_),
          totals_(block.template shared<float_pair>(subchunks * pairs)),
          products_(block.template shared<D>(subchunks * config::keys)) {}

    GATESCAN_HD void begin() {
      unrolled<groups>([&](int g) {
        for (int tile = 0; tile < 2; ++tile)
          for (int i = 0; i < 4; ++i) sum_[g][tile][i] = 0;
      });
      decay_ = keys_of_lane::all(number_cast<E>(1.0f));
    }
    /// from: at the tile's first token.
    template <class Reader>
    GATESCAN_HD void load_values(const Reader& from, int count, index_t value, int there) {
      const bool whole = count == config::tokens && there == config::values;
      if constexpr (as_it_stands) {
        if (whole && from.lies_in_eights())
          fetch_values(from.moved(0, value).operand_of_numbers());
        else
          put_values<false>(block_, values_, from, own(), lane_, count, value, there);
      } else if (whole) {
        put_values<true>(block_, values_, from, own(), lane_, count, value, there);
      } else {
        put_values<false>(block_, values_, from, own(), lane_, count, value, there);
      }
    }
    /// x: operands from the tile's first token and key on. Tiles come in the order of gates.
    GATESCAN_HD void load_keys(const fields& x, int count, bool counts) {
      const auto load = [&](auto whole) {
        if constexpr (HeadGate)
          load_keys_of_one_gate<decltype(whole)::value>(x, count, counts);
        else
          load_keys_of_gates<decltype(whole)::value>(x, count, counts);
      };
      if (!config::complex && count == config::tokens && key_count_ == config::keys)
        load(std::bool_constant<!config::complex>{});
      else
        load(std::false_type{});
    }
    GATESCAN_HD void multiply(int count) {
      for (int d = 0; d < count; d += 16) {
        const auto a = keys_.transposed_fragment(block_, d, own());
        if constexpr (by_groups)
          values_.add_product_to(sum_, block_, a, d);
        else
          unrolled<groups>(
              [&](int g) { add_product(block_, sum_[g], a, values_.columns(block_, d, g * 16)); });
      }
    }
    GATESCAN_HD void store(C* state, index_t plane, index_t pitch, int there) const {
      const bool whole = key_count_ == config::keys && there == config::values;
      for (int half = 0; half < 2; ++half) {
        const int row = own() + half * 8 + lane_ / 4, key = row / config::planes;
        C* const at = state + key * pitch + row % config::planes * plane;
        unrolled<groups>([&](int g) {
          for (int tile = 0; tile < 2; ++tile)
            for (int i = 0; i < 2; ++i) {
              const int column = g * 16 + tile * 8 + lane_ % 4 * 2 + i;
              if (whole || (key < key_count_ && column < there))
                at[column] = sum_[g][tile][half * 2 + i];
            }
        });
      }
    }
    GATESCAN_HD void store_products(const fields& x, D* gates_of_keys) {
      if constexpr (HeadGate)
        for (int m = 1; m < subchunk; m *= 2)
          product_[0].add_part(x, block_.shuffle_xor(product_[0].part(x), m));
      unrolled<keys_a_lane>([&](int k) {
        products_[warp_ * config::keys + lane_ * keys_a_lane + k] =
            product_[HeadGate ? 0 : k].part(x);
      });
      block_.sync();
      const int key = block_.thread();
      if (key >= key_count_) return;
      gate_product<R, T> all;
      for (int n = 0; n < subchunks; ++n)
        all.add_part(x, products_[(subchunks - 1 - n) * config::keys + key]);
      gates_of_keys[key] = all.value(x);
    }

   private:
    GATESCAN_HD int own() const { return warp_ * subchunk; }

    template <class Numbers>
    GATESCAN_HD void fetch_values(const Numbers& from) {
      Block memory = at_values_;
      const auto rows = memory.template shared<bf16_eight>(value_bytes(config::tokens) / 16);
      fetch_rows<value_layout>(block_, rows, from.re, from.time, own(), lane_);
      block_.close_fetches();
    }

    template <bool Whole>
    GATESCAN_HD void load_keys_of_gates(fields x, int count, bool counts) {
      // sums have the other registers
      constexpr int together = tuned.tokens_together / 2;
      const int key = lane_ * keys_a_lane, second = Whole || key < key_count_ - 1 ? 1 : 0;
      move_operands<R, T>(x, Whole ? own() : smaller(own(), count - 1),
                          Whole ? key : smaller(key, key_count_ - 1));
      registers<keys_of_lane, subchunk> number, gate;
      keys_of_lane total = keys_of_lane::all(number_cast<E>(1.0f));
      unrolled<subchunk / together>([&](int part) {
        registers<keys_of_lane, together> factor;
        unrolled<together>([&](int i) {
          const int n = part * together + i, t = own() + n;
          unrolled<keys_a_lane>([&](int k) {
            const bool there = Whole || (t < count && key + k < key_count_);
            const typename config::cursor at{0, 0, 0, k * second, 0};
            const auto token = R::keys(x, at);
            number[n].of[k] = Adjoint ? token.q : token.k;
            if (!there) number[n].of[k] = E{};
            gate[n].of[k] = there ? E(token.gate) : number_cast<E>(1.0f);
            if (!Adjoint) factor[i].of[k] = gate_product<R, T>::factor_of(x, at, token.gate, there);
          });
          if (Whole || t + 1 < count) move_operands<R, T>(x, 1, 0);
        });
        unrolled<together>([&](int i) {
          total = gate[part * together + i] * total;
          if (!Adjoint && counts)
            unrolled<keys_a_lane>([&](int k) { product_[k].add(x, factor[i].of[k]); });
        });
      });
      totals_[warp_ * pairs + lane_] = total.pair();
      block_.sync();
      // gates between this subchunk and the chunk's end
      keys_of_lane decay = decay_;
      unrolled<subchunks>([&](int n) {
        const int w = Adjoint ? n : subchunks - 1 - n;
        if (w == warp_) decay = decay_;
        decay_ = keys_of_lane::of_pair(totals_[w * pairs + lane_]) * decay_;
      });
      unrolled<subchunk>([&](int i) {
        const int n = Adjoint ? i : subchunk - 1 - i;
        if (Adjoint) decay = gate[n] * decay;
        const float_pair x_n = (number[n] * decay).pair();
        keys_.put(own() + n, lane_,
                  split<key_parts>(block_, x_n.first,
                                   config::complex && Adjoint ? -x_n.second : x_n.second));
        if (!Adjoint) decay = gate[n] * decay;
      });
    }

    // A lane has a token's gate: products of the subchunk's are the warp's.
    template <bool Whole>
    GATESCAN_HD void load_keys_of_one_gate(fields x, int count, bool counts) {
      constexpr int together = tuned.tokens_together;
      const int r = lane_ % subchunk;
      float decay = 1;
      {
        const int t = own() + r;
        const bool there = Whole || t < count;
        fields here = x;
        move_operands<R, T>(here, there ? t : count - 1, 0);
        const typename config::cursor at{0, 0, 0, 0, 0};
        const float gate = R::keys(here, at).gate;
        if (there) decay = gate;
        if (!Adjoint && counts)
          product_[0].add(here, gate_product<R, T>::factor_of(here, at, gate, there));
      }
      // up to a token, or after it
      for (int m = 1; m < subchunk; m *= 2) {
        const int lane = Adjoint ? lane_ - m : lane_ + m;
        const float next = block_.shuffle(decay, lane & (warp_threads - 1));
        if (Adjoint ? r >= m : r + m < subchunk) decay = decay * next;
      }
      if (lane_ == (Adjoint ? subchunk - 1 : 0)) totals_[warp_] = {decay, decay};
      if (!Adjoint) {
        const float next = block_.shuffle(decay, (lane_ + 1) & (warp_threads - 1));
        decay = r + 1 < subchunk ? next : 1;
      }
      block_.sync();
      float before = decay_.of[0];
      unrolled<subchunks>([&](int n) {
        const int w = Adjoint ? n : subchunks - 1 - n;
        if (w == warp_) decay = decay * before;
        before = before * float_pair(totals_[w]).first;
      });
      decay_.of[0] = before;

      const int key = lane_ * keys_a_lane, second = Whole || key < key_count_ - 1 ? 1 : 0;
      move_operands<R, T>(x, Whole ? own() : smaller(own(), count - 1),
                          Whole ? key : smaller(key, key_count_ - 1));
      unrolled<subchunk / together>([&](int part) {
        registers<keys_of_lane, together> number;
        unrolled<together>([&](int i) {
          const int t = own() + part * together + i;
          unrolled<keys_a_lane>([&](int k) {
            const auto token = R::keys(x, typename config::cursor{0, 0, 0, k * second, 0});
            number[i].of[k] = Adjoint ? token.q : token.k;
            if (!Whole && (t >= count || key + k >= key_count_)) number[i].of[k] = E{};
          });
          if (Whole || t + 1 < count) move_operands<R, T>(x, 1, 0);
        });
        unrolled<together>([&](int i) {
          const int n = part * together + i;
          const float of_n = block_.shuffle(decay, n);
          keys_.put(own() + n, lane_,
                    split<key_parts>(block_, number[i].of[0] * of_n, number[i].of[1] * of_n));
        });
      });
    }

    Block& block_;
    int warp_, lane_, key_count_;
    split_rows<Block, config::rows, key_parts> keys_;  // [token][row]
    Block at_values_;
    value_rows<Block> values_;                                                // [token][value]
    decltype(std::declval<Block&>().template shared<float_pair>(1)) totals_;  // [subchunk][row]
    decltype(std::declval<Block&>().template shared<D>(1)) products_;         // [subchunk][key]
    registers<float[2][4], groups> sum_;  // 16 rows of the warp's, the state's
    keys_of_lane decay_;                  // gates of the tiles before
    registers<gate_product<R, T>, keys_a_lane> product_;
  };
};

/// The program for a format.
template <class R, class T, bool Adjoint, bool HeadGate>
using state_of_chunk =
    std::conditional_t<tile_config<R, T>::splits, split_chunk_state<R, T, Adjoint, HeadGate>,
                       chunk_state<R, T, Adjoint>>;

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
