#pragma once
// split_keys_adjoint's shared memory, and how a block fills it: a warp loads 16 tokens, or rows of
// states, a thread two neighbouring numbers of each.

#include <algorithm>

#include "lane_keys.hpp"
#include "split_rows.hpp"
#include "value_reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// What there is of a tile.
template <class Config>
struct tile_extents {
  int count, keys;
  GATESCAN_HD bool whole() const { return count == Config::tokens && keys == Config::keys; }
};

/// A tile's keys in stored states: rows of values, real and imaginary parts.
struct state_rows_of {
  const float *re, *im;
  index_t row;
};

/// What it asks of shared memory.
template <class R, class T>
struct split_keys_memory {
  using config = tile_config<R, T>;
  static constexpr int tokens = config::tokens, subchunk = config::subchunk, rows = config::rows,
                       pairs = rows / 2, values = config::values, subchunks = tokens / subchunk;
  static_assert(pairs == warp_threads && values == rows && tokens == rows);
  static_assert(subchunks * warp_threads == config::threads);
  static constexpr int crossings = subchunks * (subchunks + 1) / 2;
  static constexpr int tile_bytes = split_bytes<rows>(tokens);
  static constexpr int totals_bytes = shared_size<float_pair>(subchunks * pairs),
                       crossing_bytes = shared_size<float_pair>(crossings * pairs),
                       ends_bytes = shared_size<float_pair>(rows),
                       small_bytes = totals_bytes + crossing_bytes + ends_bytes;
  // first four tiles of what is summed over values; then scores, k, q and gates, and small arrays
  static constexpr int large_bytes = 3 * tile_bytes + shared_size<float_pair>(tokens * pairs);
  static constexpr int bytes = (std::max)(4 * tile_bytes, large_bytes + small_bytes);
};

template <class R, class T, class Block>
class split_keys_loads : protected split_keys_memory<R, T> {
  using sizes_of_memory = split_keys_memory<R, T>;

 public:
  using typename sizes_of_memory::config;
  using fields = typename config::fields;
  using E = typename config::E;

 protected:
  template <class X>
  using array = decltype(std::declval<Block&>().template shared<X>(1));
  using sizes_of_memory::tokens, sizes_of_memory::subchunk, sizes_of_memory::subchunks,
      sizes_of_memory::rows, sizes_of_memory::pairs, sizes_of_memory::values,
      sizes_of_memory::crossings, sizes_of_memory::tile_bytes, sizes_of_memory::small_bytes,
      sizes_of_memory::totals_bytes, sizes_of_memory::crossing_bytes, sizes_of_memory::large_bytes;
  using keys_of_lane = lane_keys<E>;
  using tile = split_rows<Block, rows>;
  static constexpr int pitch = tile::pitch;  // of Y and D, in pairs too

  GATESCAN_HD explicit split_keys_loads(Block& block)
      : block_(block),
        memory_(block),
        small_(shared_behind<float>(large_bytes, small_bytes / 4)),
        totals_(shared_behind<float_pair>(large_bytes, subchunks * pairs)),
        crossing_(shared_behind<float_pair>(large_bytes + totals_bytes, crossings * pairs)),
        ends_(shared_behind<float_pair>(large_bytes + totals_bytes + crossing_bytes, rows)) {}

  // `count` numbers after so many bytes of the tile's memory, which phases share
  template <class X>
  GATESCAN_HD array<X> shared_behind(int before, int count) const {
    Block memory = memory_;
    memory.template shared<float>(before / static_cast<int>(sizeof(float)));
    return memory.template shared<X>(count);
  }

  // Found anew for every phase, not kept in registers.
  GATESCAN_HD void find_thread() {
    const int thread = block_.thread_anew();
    warp_ = thread / warp_threads, lane_ = thread % warp_threads;
  }
  GATESCAN_HD int own() const { return warp_ * subchunk; }
  GATESCAN_HD static int smaller(int a, int b) { return a < b ? a : b; }

  // a number in an array of pairs of rows
  template <class Array>
  GATESCAN_HD static E get(const Array& from, int t, int row_pitch, int column) {
    if constexpr (config::complex) {
      const float re = from[t * row_pitch + 2 * column], im = from[t * row_pitch + 2 * column + 1];
      return {re, im};
    } else {
      return from[t * row_pitch + column];
    }
  }
  template <class Array>
  GATESCAN_HD static void put(const Array& to, int t, int row_pitch, int column, E x) {
    if constexpr (config::complex)
      to[t * row_pitch + 2 * column] = x.re, to[t * row_pitch + 2 * column + 1] = x.im;
    else
      to[t * row_pitch + column] = x;
  }

  // Of whole tiles nothing is clamped, and nothing outside is cleared.
  template <bool Whole, bool Conjugate>
  GATESCAN_HD void load_states(const tile& to, const state_rows_of& from, int keys,
                               index_t first_value, int there) const {
    const int column = 2 * lane_, second = Whole || column < there - 1 ? 1 : 0;
    const int first = own() / config::planes;
    const index_t at = (Whole ? first : smaller(first, keys - 1)) * from.row + first_value +
                       (Whole ? column : smaller(column, there - 1));
    const float *re = from.re + at, *im = from.im + at;
    put_rows(block_, to, own(), lane_, [&](int row, int i) -> float_pair {
      const bool imaginary = config::complex && i % 2 == 1;
      const int key = row / config::planes;
      const float* const numbers = imaginary ? im : re;
      const float x = numbers[0], y = numbers[second];
      if ((Whole || key + 1 < keys) && (imaginary || !config::complex))
        re += from.row, im += from.row;
      const float sign = imaginary && Conjugate ? -1.0f : 1.0f;
      return {Whole || (key < keys && column < there) ? sign * x : 0,
              Whole || (key < keys && second == 1) ? sign * y : 0};
    });
  }

  // q from the subchunk's start on, k to its end, gates and their product
  GATESCAN_HD void load_keys(const fields& first, int count, int keys, const tile& of_keys,
                             const tile& queries, const array<float_pair>& gates) const {
    constexpr int together = tuned.tokens_together / 2;  // Y and D have the other registers
    const int key = lane_ * keys_of_lane::count, second = key < keys - 1 ? 1 : 0;
    const auto inside = [&](int t, int k) { return t < count && key + k < keys; };
    const E one = number_cast<E>(1.0f);
    fields x = first;
    move_operands<R, T>(x, smaller(own(), count - 1), smaller(key, keys - 1));
    keys_of_lane product = keys_of_lane::all(one);
    for (int part = own(); part < own() + subchunk; part += together) {
      registers<keys_of_lane, together> number, gate;
      unrolled<together>([&](int i) {
        unrolled<keys_of_lane::count>([&](int k) {
          const auto token = R::keys(x, typename config::cursor{0, 0, 0, k * second, 0});
          number[i].of[k] = inside(part + i, k) ? E(token.q) : E{};
          gate[i].of[k] = inside(part + i, k) ? E(token.gate) : one;
        });
        if (part + i + 1 < count) move_operands<R, T>(x, 1, 0);
      });
      unrolled<together>([&](int i) {
        const int t = part + i;
        gates[t * pairs + lane_] = gate[i].pair();
        product = gate[i] * product;
        const float_pair query = (product * number[i]).pair();
        queries.put(t, lane_, split(block_, query.first, query.second));
      });
    }
    totals_[warp_ * pairs + lane_] = product.pair();
    product = keys_of_lane::all(one);
    x = first;
    const int last = own() + subchunk - 1;
    move_operands<R, T>(x, smaller(last, count - 1), smaller(key, keys - 1));
    for (int part = 0; part < subchunk; part += together) {
      registers<keys_of_lane, together> number;
      unrolled<together>([&](int i) {
        const int t = last - part - i;
        unrolled<keys_of_lane::count>([&](int k) {
          const auto token = R::keys(x, typename config::cursor{0, 0, 0, k * second, 0});
          number[i].of[k] = inside(t, k) ? E(token.k) : E{};
        });
        if (t < count) move_operands<R, T>(x, -1, 0);
      });
      unrolled<together>([&](int i) {
        const int t = last - part - i;
        const float_pair of_key = (product * number[i]).pair();
        of_keys.put(t, lane_, split(block_, of_key.first, of_key.second));
        product = keys_of_lane::of_pair(gates[t * pairs + lane_]) * product;
      });
    }
  }

  // of the warp's tokens and one key; q goes to the place of D
  GATESCAN_HD void load_column(const fields& first, int count, int keys, int column,
                               registers<E, subchunk>& k, const array<float>& q_at) const {
    fields x = first;
    move_operands<R, T>(x, smaller(own(), count - 1), smaller(column, keys - 1));
    registers<E, subchunk> q;
    unrolled<subchunk>([&](int n) {
      const auto token = R::keys(x, typename config::cursor{0, 0, 0, 0, 0});
      const bool inside = own() + n < count && column < keys;
      q[n] = inside ? E(token.q) : E{};
      k[n] = inside ? E(token.k) : E{};
      if (own() + n + 1 < count) move_operands<R, T>(x, 1, 0);
    });
    unrolled<subchunk>([&](int n) { put(q_at, own() + n, 2 * pitch, column, q[n]); });
  }

  Block& block_;
  Block memory_;
  // while sums over values are made, another tile is where these are
  array<float> small_;          // all numbers of these three:
  array<float_pair> totals_;    // [subchunk][row]: products of gates
  array<float_pair> crossing_;  // [queries' subchunk][subchunk][row]: sums of x Y
  array<float_pair> ends_;      // [row]: conj(G) S, with a pair of rows
  int warp_ = 0, lane_ = 0;
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
