#pragma once
// head_keys_adjoint's shared memory, and how a block fills it: a warp loads 16 tokens, or rows of
// states, a thread two neighbouring numbers of each, or eight that it fetches.

#include <algorithm>

#include "split_rows.hpp"
#include "value_reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// What there is of a tile, and whether values and gradients are fetched as they stand.
struct head_keys_extents {
  int count, keys;
  bool fetches;
};

/// What it asks of shared memory.
template <class R, class T>
struct head_keys_memory {
  using config = tile_config<R, T>;
  static constexpr int tokens = config::tokens, subchunk = config::subchunk, rows = config::rows,
                       pairs = rows / 2, values = config::values, subchunks = tokens / subchunk,
                       groups = rows / 16;
  static_assert(!config::complex && pairs == warp_threads && values == rows && tokens == rows);
  static_assert(subchunks * warp_threads == config::threads && groups == subchunks);
  // values and gradients in bfloat16 as they stand are one
  static constexpr bool as_they_stand =
      value_reader<R, T, false>::as_it_stands && value_reader<R, T, true>::as_it_stands;
  static constexpr int value_parts = as_they_stand ? 1 : 2;
  static constexpr int tile_bytes = split_bytes<rows>(tokens),
                       value_bytes = split_bytes<values, value_parts>(tokens);
  // values and states; then q, k and weighed scores; then gradients of q and k
  static constexpr int large_bytes = (std::max)(2 * value_bytes + 2 * tile_bytes, 3 * tile_bytes);
  // scores of a token with those of its subchunk and of earlier ones
  GATESCAN_HD static constexpr int score_pitch(int b) { return (b + 1) * subchunk + 1; }
  GATESCAN_HD static constexpr int score_row(int b) {
    return subchunk * (subchunk * b * (b + 1) / 2 + b);
  }
  static constexpr int scores_size = score_row(subchunks),
                       scores_bytes = shared_size<float>(scores_size);
  static constexpr int table_pitch = subchunk + 1, table_size = tokens * table_pitch,
                       table_bytes = shared_size<float>(table_size);
  // gates, what they do up to a token in its subchunk, and after it; E of S, of G; da; parts of
  // <G, S>, a thread's each
  static constexpr int small_size = 6 * tokens + config::threads;
  // of loops over tiles, a thread's own
  static constexpr int counters_size = 2 * config::threads;
  static constexpr int bytes = large_bytes + scores_bytes + table_bytes +
                               shared_size<float>(small_size) + shared_size<int>(counters_size);
};

template <class R, class T, class Block>
class head_keys_loads : protected head_keys_memory<R, T> {
  using memory_t = head_keys_memory<R, T>;

 public:
  using typename memory_t::config;
  using fields = typename config::fields;

  GATESCAN_HD explicit head_keys_loads(Block& block)
      : block_(block),
        memory_(block),
        dots_(shared_behind<float>(large_bytes, scores_size)),
        table_(shared_behind<float>(large_bytes + scores_bytes, table_size)),
        small_(shared_behind<float>(large_bytes + scores_bytes + table_bytes, small_size)),
        counters_(shared_behind<int>(
            large_bytes + scores_bytes + table_bytes + shared_size<float>(small_size),
            counters_size)) {}

  /// The tile of keys that a thread is at. It waits in shared memory, which leaves registers.
  GATESCAN_HD int key_tile() const { return counters_[block_.thread_anew()]; }
  GATESCAN_HD void go_to_keys(int n) const { counters_[block_.thread_anew()] = n; }

  /// Of the chunk's tokens, from the first one on.
  GATESCAN_HD void load_gates(const fields& x, int count) {
    find_thread();
    const auto gate_of = [&](int t) -> float {
      fields here = x;
      move_operands<R, T>(here, smaller(t, count - 1), 0);
      const float gate = R::keys(here, typename config::cursor{0, 0, 0, 0, 0}).gate;
      return t < count ? gate : 1;
    };
    // half a warp up to tokens, half after them
    const int r = lane_ % subchunk, later = lane_ / subchunk, t = own() + r;
    float product = gate_of(t + later);
    if (r + later == subchunk) product = 1;
    if (later == 0) small_[t] = product;
    for (int m = 1; m < subchunk; m *= 2) {
      const float next =
          block_.shuffle(product, (lane_ + (later == 1 ? m : -m)) & (warp_threads - 1));
      if (later == 1 ? r + m < subchunk : r >= m) product = product * next;
    }
    small_[(1 + later) * tokens + t] = product;
    small_[(later == 0 ? of_start : of_end) + t] = 0;
    small_[of_corner + warp_ * warp_threads + lane_] = 0;
    block_.sync_warp();
    product = 1;
    unrolled<subchunk>([&](int n) {
      if (n > r) product = product * gate(own() + n);
      if (n / 8 == later) table_[(own() + n) * table_pitch + r] = n < r ? 0 : product;
    });
  }

 protected:
  using memory_t::tokens, memory_t::subchunk, memory_t::subchunks, memory_t::rows, memory_t::pairs,
      memory_t::values, memory_t::groups, memory_t::value_parts, memory_t::value_bytes,
      memory_t::as_they_stand, memory_t::tile_bytes, memory_t::large_bytes, memory_t::score_pitch,
      memory_t::score_row, memory_t::scores_size, memory_t::scores_bytes, memory_t::table_pitch,
      memory_t::table_size, memory_t::table_bytes, memory_t::small_size, memory_t::counters_size;
  template <class X>
  using array = decltype(std::declval<Block&>().template shared<X>(1));
  using tile = split_rows<Block, rows>;
  using tile_of_values = split_rows<Block, values, value_parts>;

  static constexpr int pitch = tile::pitch;  // in pairs
  static constexpr int of_start = 3 * tokens, of_end = 4 * tokens, of_gradient = 5 * tokens,
                       of_corner = 6 * tokens;

  // ---- memory

  // `count` numbers after so many bytes of what phases share
  template <class X>
  GATESCAN_HD array<X> shared_behind(int before, int count) const {
    Block memory = memory_;
    memory.template shared<float>(before / static_cast<int>(sizeof(float)));
    return memory.template shared<X>(count);
  }
  struct of_contraction {
    tile_of_values values, d_outs;
    tile states, adjoints;
  };
  GATESCAN_HD of_contraction contracted() const {
    Block memory = memory_;
    return {tile_of_values(memory, tokens, lane_), tile_of_values(memory, tokens, lane_),
            tile(memory, rows, lane_), tile(memory, rows, lane_)};
  }
  struct of_reach {
    tile queries, keys, scores;
  };
  GATESCAN_HD of_reach reached() const {
    Block memory = memory_;
    return {tile(memory, tokens, lane_), tile(memory, tokens, lane_), tile(memory, tokens, lane_)};
  }
  GATESCAN_HD array<float> gradients() const {
    return shared_behind<float>(0, 2 * tokens * 2 * pitch);
  }
  static_assert(tokens * 2 * pitch * static_cast<int>(sizeof(float)) == tile_bytes);

  // Found anew for every phase, not kept in registers.
  GATESCAN_HD void find_thread() {
    const auto thread = static_cast<unsigned>(block_.thread_anew());  // whose quotients are shifts
    warp_ = static_cast<int>(thread / warp_threads);
    lane_ = static_cast<int>(thread % warp_threads);
  }
  GATESCAN_HD int own() const { return warp_ * subchunk; }
  GATESCAN_HD static int smaller(int a, int b) { return a < b ? a : b; }
  GATESCAN_HD static int score_at(int r) {
    const int b = r / subchunk;
    return score_row(b) + r % subchunk * score_pitch(b);
  }

  // ---- what gates do

  GATESCAN_HD float gate(int t) const { return small_[t]; }
  GATESCAN_HD float up_to(int t) const { return small_[tokens + t]; }  // in its subchunk
  GATESCAN_HD float behind(int t) const { return small_[2 * tokens + t]; }
  GATESCAN_HD float total(int b) const { return up_to((b + 1) * subchunk - 1); }

  // ---- loads

  GATESCAN_HD int value_tile() const { return counters_[config::threads + block_.thread_anew()]; }
  GATESCAN_HD void go_to_values(int n) const {
    counters_[config::threads + block_.thread_anew()] = n;
  }
  GATESCAN_HD static int values_of_tile(index_t value_count, int n) {
    const index_t left = value_count - static_cast<index_t>(n) * values;
    return left < values ? static_cast<int>(left) : values;
  }
  template <bool Whole, class Values, class DOuts, class States>
  GATESCAN_HD void load_values(const head_keys_extents& of_tile, const Values& read_values,
                               const DOuts& read_d_outs, const States& read_states, index_t row,
                               index_t done, int there) {
    if constexpr (Whole && as_they_stand) {
      const auto fetch = [&](const auto& reader, int behind) {
        const auto of_numbers = reader.moved(0, done).operand_of_numbers();
        fetch_rows<split_layout<values>>(block_,
                                         shared_behind<bf16_eight>(behind, value_bytes / 16),
                                         of_numbers.re, of_numbers.time, own(), lane_);
      };
      fetch(read_values(), 0), fetch(read_d_outs(), value_bytes);
      block_.close_fetches();
    } else if constexpr (Whole) {
      // sums have the other registers
      constexpr int together = tuned.tokens_together / 2;
      put_values<true, together>(block_, contracted().values, read_values(), own(), lane_,
                                 of_tile.count, done, there);
      put_values<true, together>(block_, contracted().d_outs, read_d_outs(), own(), lane_,
                                 of_tile.count, done, there);
    } else {
      put_some_values(contracted().values, read_values(), of_tile.count, done, there);
      find_thread();
      put_some_values(contracted().d_outs, read_d_outs(), of_tile.count, done, there);
      find_thread();
    }
    const float *const state = read_states(false) + done, *const adjoint = read_states(true) + done;
    if constexpr (Whole)
      load_states(contracted(), state, adjoint, row);
    else
      load_some_states(contracted(), state, adjoint, row, of_tile.keys, there);
    if constexpr (Whole && as_they_stand) block_.template wait_for_fetches<0>();
  }
  // One after another, which leaves registers to the sums.
  template <class Reader>
  GATESCAN_HD void put_some_values(const tile_of_values& to, const Reader& from, int count,
                                   index_t first_value, int there) {
    const int end = count < own() + subchunk ? count : own() + subchunk;
    for (int t = own(); t < own() + subchunk; ++t) {
      const int column = 2 * lane_;
      float_pair x;
      if (t < end && column < there) {
        const auto here = from.moved(t, first_value + column);
        x.first = here(0);
        if (column < there - 1) x.second = here(1);
      }
      to.put(t, lane_, split<value_parts>(block_, x.first, x.second));
    }
  }
  GATESCAN_HD void load_states(const of_contraction& to, const float* state, const float* adjoint,
                               index_t row) {
    constexpr int together = tuned.tokens_together / 2;
    const index_t at = own() * row + 2 * lane_;
    state += at, adjoint += at;
    const auto load = [](const float* from) {
      float_pair x;
      __builtin_memcpy(&x, __builtin_assume_aligned(from, sizeof x), sizeof x);
      return x;
    };
    float sum = 0;
    for (int first = own(); first < own() + subchunk; first += together) {
      registers<float_pair, together> x, y;
      unrolled<together>([&](int i) {
        x[i] = load(state), y[i] = load(adjoint);
        state += row, adjoint += row;
      });
      unrolled<together>([&](int i) { sum += put_states(to, first + i, x[i], y[i]); });
    }
    add_corner(sum);
  }
  GATESCAN_HD void load_some_states(const of_contraction& to, const float* state,
                                    const float* adjoint, index_t row, int keys, int there) {
    float sum = 0;
    for (int key = own(); key < own() + subchunk; ++key) {
      const int column = 2 * lane_;
      float_pair x, y;
      if (key < keys && column < there) {
        const index_t at = key * row + column;
        x.first = state[at], y.first = adjoint[at];
        if (column < there - 1) x.second = state[at + 1], y.second = adjoint[at + 1];
      }
      sum += put_states(to, key, x, y);
    }
    add_corner(sum);
  }
  GATESCAN_HD float put_states(const of_contraction& to, int row, float_pair x,
                               float_pair y) const {
    to.states.put(row, lane_, split(block_, x.first, x.second));
    to.adjoints.put(row, lane_, split(block_, y.first, y.second));
    return x.first * y.first + x.second * y.second;
  }
  GATESCAN_HD void add_corner(float sum) const {
    small_[of_corner + warp_ * warp_threads + lane_] += sum;
  }
  // Keys, or queries; 0 where there are none.
  template <bool Keys>
  GATESCAN_HD void load_keys(const tile& to, fields x, int count, int keys) const {
    const int key = 2 * lane_;
    const auto number = [&](int second) -> float {
      const auto token = R::keys(x, typename config::cursor{0, 0, 0, second, 0});
      return Keys ? token.k : token.q;
    };
    if (count == tokens && keys == rows) {
      move_operands<R, T>(x, own(), key);
      put_rows(block_, to, own(), lane_, [&](int, int) -> float_pair {
        const float_pair r{number(0), number(1)};
        move_operands<R, T>(x, 1, 0);
        return r;
      });
    } else {
      move_operands<R, T>(x, smaller(own(), count - 1), smaller(key, keys - 1));
      for (int t = own(); t < own() + subchunk; ++t) {
        float_pair r;
        if (t < count && key < keys) {
          r.first = number(0);
          if (key < keys - 1) r.second = number(1);
        }
        to.put(t, lane_, split(block_, r.first, r.second));
        if (t + 1 < count) move_operands<R, T>(x, 1, 0);
      }
    }
  }

  Block& block_;
  Block memory_;
  array<float> dots_;   // [query][token]: dP, then E, then U
  array<float> table_;  // [query][token of its subchunk]: D
  array<float> small_;
  array<int> counters_;
  int warp_ = 0, lane_ = 0;
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
