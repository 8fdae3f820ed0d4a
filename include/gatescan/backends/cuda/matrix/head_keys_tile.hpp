#pragma once
// head_keys_adjoint's tile, [64 tokens][64 keys], on matrix units. With D_ts the product of gates
// after s up to t, dP_ts = do_t v_s, S the state at the chunk's start and G the gradient of that at
// its end,
//
//   dq_t = sum_s D_ts dP_ts k_s + D_t S do_t    dk_s = sum_t D_ts dP_ts q_t + D(after s) G v_s
//   da_t = sum over r >= t, s < t of D_rt E_rs D_(t-1)s    E_rs = dP_rs (q_r k_s)
//
// where S is one more s, before all tokens: E_r = q_r S do_r, and G one more r, after them: E_s =
// k_s G v_s, both of them E = <G, S>. The last sum is over all keys: a number a pair of tokens, and
// with two passes of a running sum, U_r(t+1) = a_t U_r(t) + E_rt and then over r, no quotient and no
// difference: exact at any gate.

#include <algorithm>

#include "chunk_keys_replay.hpp"
#include "gradient_stores.hpp"
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
      std::is_same_v<typename config::S, bf16> && std::is_base_of_v<plain_values, R> &&
      std::is_base_of_v<plain_output, R>;
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
class head_keys_tile : head_keys_memory<R, T> {
  using memory_t = head_keys_memory<R, T>;
  using memory_t::tokens, memory_t::subchunk, memory_t::subchunks, memory_t::rows, memory_t::pairs,
      memory_t::values, memory_t::groups, memory_t::value_parts, memory_t::value_bytes,
      memory_t::as_they_stand, memory_t::tile_bytes,
      memory_t::large_bytes, memory_t::score_pitch, memory_t::score_row, memory_t::scores_size,
      memory_t::scores_bytes, memory_t::table_pitch, memory_t::table_size, memory_t::table_bytes,
      memory_t::small_size, memory_t::counters_size;
  template <class X>
  using array = decltype(std::declval<Block&>().template shared<X>(1));
  using tile = split_rows<Block, rows>;
  using tile_of_values = split_rows<Block, values, value_parts>;
  using fragments = registers<float[2][4], groups>;

 public:
  using typename memory_t::config;
  using fields = typename config::fields;

  GATESCAN_HD explicit head_keys_tile(Block& block)
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
      const float next = block_.shuffle(product, (lane_ + (later == 1 ? m : -m)) &
                                                     (warp_threads - 1));
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

  /// S do and G v of the tile's keys, and of the first tile dP. read_values(), read_d_outs():
  /// readers at the chunk's first token and value; states, adjoints: the tile's keys, rows of
  /// value_count. All are asked for anew where they are needed, not kept in registers.
  template <class IsFirst, class Extents, class Values, class DOuts, class States>
  GATESCAN_HD void contract(index_t value_count, const IsFirst& is_first, const Extents& extents,
                            const Values& read_values, const DOuts& read_d_outs,
                            const States& read_states) {
    clear(before_), clear(after_);
    for (go_to_values(0); value_tile() < ceil_divide(value_count, values);
         go_to_values(value_tile() + 1)) {
      find_thread();
      block_.sync();
      const head_keys_extents of_tile = extents();
      const auto load = [&](auto whole) {
        const int n = value_tile();
        load_values<decltype(whole)::value>(of_tile, read_values, read_d_outs, read_states,
                                            value_count, static_cast<index_t>(n) * values,
                                            values_of_tile(value_count, n));
      };
      if (values_of_tile(value_count, value_tile()) == values && of_tile.count == tokens &&
          of_tile.keys == rows && value_count % 2 == 0 && (of_tile.fetches || !as_they_stand))
        load(std::true_type{});
      else
        load(std::false_type{});
      block_.sync();
      // What a matrix unit loses when it adds is less than what two parts of a state leave out.
      const auto add = [&](fragments& sum, int count_of_groups, const auto& a, const auto& b) {
        for (int d = 0; d < values; d += 16) {
          const auto of_a = a.fragment(block_, own(), d);
          unrolled<groups>([&](int g) {
            if (g < count_of_groups)
              add_truncated(block_, sum[g], of_a, b.rows_as_columns(block_, g * 16, d));
          });
        }
      };
      if (is_first()) {
        find_thread();
        const auto of = contracted();
        add(scores_, warp_ + 1, of.d_outs, of.values);
      }
      find_thread();
      {
        const auto of = contracted();
        add(before_, groups, of.d_outs, of.states);
      }
      find_thread();
      const auto of = contracted();
      add(after_, groups, of.values, of.adjoints);
    }
    find_thread();
    block_.sync();
    if (is_first()) {
      for_each_score([&](int r, int s, float& first_one, float& second) {
        const int at = score_at(own() + r) + s;
        dots_[at] = first_one, dots_[at + 1] = second;
      });
      clear(scores_);
    }
  }

  /// The gradients of q and k, and what a tile adds to q k^T. x: operands from the chunk's first
  /// token and the tile's first key on. Returns whether the gradients are finite.
  GATESCAN_HD bool reach(const fields& x, int count, int keys) {
    {
      const auto of = reached();
      load_keys<false>(of.queries, x, count, keys);
      load_keys<true>(of.keys, x, count, keys);
    }
    find_thread();
    weigh_scores(reached().scores);
    block_.sync();
    {
      const auto of = reached();
      for (int d = 0; d < keys; d += 16) {
        const split_fragment query = of.queries.fragment(block_, own(), d);
        unrolled<groups>([&](int g) {  // later tokens too, which is shorter than to ask
          add_truncated(block_, scores_[g], query, of.keys.rows_as_columns(block_, g * 16, d));
        });
      }
    }
    find_thread();
    {
      const auto of = reached();
      meet<of_start>(before_, of.queries);
      for (int b = 0; b <= warp_; ++b) {
        const split_fragment score = of.scores.fragment(block_, own(), b * subchunk);
        unrolled<groups>([&](int g) {
          add_truncated(block_, before_[g], score, of.keys.columns(block_, b * subchunk, g * 16));
        });
      }
    }
    find_thread();
    {
      const auto of = reached();
      meet<of_end>(after_, of.keys);
      for (int b = subchunks - 1; b >= warp_; --b) {
        const split_fragment score = of.scores.transposed_fragment(block_, b * subchunk, own());
        unrolled<groups>([&](int g) {
          add_truncated(block_, after_[g], score,
                        of.queries.columns(block_, b * subchunk, g * 16));
        });
      }
    }
    find_thread();
    block_.sync();
    float not_finite = 0;
    const auto store = [&](const fragments& from, int tiles_before) {
      const auto to = shared_behind<float_pair>(tiles_before * tile_bytes, tokens * pitch);
      unrolled<groups>([&](int g) {
        for (int n = 0; n < 4; ++n) {
          const float_pair both{from[g][n / 2][n % 2 * 2], from[g][n / 2][n % 2 * 2 + 1]};
          not_finite += zero_if_finite(both.first), not_finite += zero_if_finite(both.second);
          to[(own() + lane_ / 4 + n % 2 * 8) * pitch + g * 8 + n / 2 * 4 + lane_ % 4] = both;
        }
      });
    };
    store(before_, 0);
    store(after_, 1);
    return not_finite == 0;
  }

  /// The gradients of gates, when reach() has been through all keys. Returns whether they are
  /// finite.
  GATESCAN_HD bool find_gates() {
    find_thread();
    const int thread = warp_ * warp_threads + lane_;
    float corner = small_[of_corner + thread];
    for (int m = 1; m < warp_threads; m *= 2) corner += block_.shuffle_xor(corner, m);
    if (lane_ == 0) small_[of_corner + thread] = corner;
    for_each_score([&](int r, int s, float& first, float& second) {
      const int at = score_at(own() + r) + s;
      dots_[at] = dots_[at] * first, dots_[at + 1] = dots_[at + 1] * second;
    });
    block_.sync();
    // a thread a query, and one G
    if (thread <= tokens) {
      const bool is_end = thread == tokens;
      const auto e = is_end ? small_ + of_end : dots_ + score_at(thread);
      float u = 0;
      if (is_end)
        unrolled<subchunks>([&](int n) { u += small_[of_corner + n * warp_threads]; });
      else
        u = small_[of_start + thread];
      for (int t = 0; t < tokens && t <= thread; ++t) {
        const float before = u;
        u = gate(t) * u + e[t];
        e[t] = before;
      }
    }
    block_.sync();
    bool finite = true;
    if (thread < tokens) {
      float sum = small_[of_end + thread], next = 1;
      for (int b = subchunks - 1; b * subchunk + subchunk > thread; --b) {
        const int first = score_row(b) + thread, pitch_of_b = score_pitch(b);
        for (int n = subchunk - 1; n >= 0 && b * subchunk + n >= thread; --n) {
          sum = next * sum + dots_[first + n * pitch_of_b];
          next = gate(b * subchunk + n);
        }
      }
      small_[of_gradient + thread] = sum;
      finite = is_finite(sum);
    }
    return finite;
  }

  /// Of a token and key, and of a token.
  GATESCAN_HD float_pair gradient(int t, int column) const {
    const auto of = gradients();
    return {of[t * 2 * pitch + column], of[(tokens + t) * 2 * pitch + column]};
  }
  GATESCAN_HD void put_gradient(int t, int column, float_pair x) const {
    const auto of = gradients();
    of[t * 2 * pitch + column] = x.first, of[(tokens + t) * 2 * pitch + column] = x.second;
  }
  GATESCAN_HD float gate_gradient(int t) const { return small_[of_gradient + t]; }
  GATESCAN_HD void put_gate_gradient(int t, float x) const { small_[of_gradient + t] = x; }

  // Scratch that gradients leave, for replay_keys: a number a token and key each; and what threads
  // add up of gates.
  static constexpr int replay_keys_together = 16;
  static_assert(4 * tokens * replay_keys_together * static_cast<int>(sizeof(float)) <= tile_bytes);
  GATESCAN_HD replay_memory<array<float>> of_replay() const {
    constexpr int size = tokens * replay_keys_together;
    const auto first = shared_behind<float>(2 * tile_bytes, 4 * size);
    return {first, first + size, first + 2 * size, first + 3 * size};
  }
  GATESCAN_HD array<float> of_gates() const { return dots_; }
  static_assert(tokens * replay_keys_together <= scores_size);

 private:
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
        fetch_rows<values>(block_, shared_behind<bf16_eight>(behind, value_bytes / 16),
                           of_numbers.re, of_numbers.time, own(), lane_);
      };
      fetch(read_values(), 0), fetch(read_d_outs(), value_bytes);
      block_.close_fetches();
    } else if constexpr (Whole) {
      // sums have the other registers
      constexpr int together = tuned.tokens_together / 2;
      put_values<true, together>(block_, contracted().values, read_values(), own(), lane_, of_tile.count,
                                 done, there);
      put_values<true, together>(block_, contracted().d_outs, read_d_outs(), own(), lane_, of_tile.count,
                                 done, there);
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

  // ---- scores

  // f(row of the warp, column, number, its neighbour): of subchunks up to the warp's own one
  template <class F>
  GATESCAN_HD void for_each_score(const F& f) {
    unrolled<groups>([&](int g) {
      if (g > warp_) return;
      for (int n = 0; n < 4; ++n)
        f(lane_ / 4 + n % 2 * 8, g * 16 + n / 2 * 8 + lane_ % 4 * 2, scores_[g][n / 2][n % 2 * 2],
          scores_[g][n / 2][n % 2 * 2 + 1]);
    });
  }
  // D dP of the warp's queries; 0 where D is, whatever it meets
  GATESCAN_HD void weigh_scores(const tile& to) const {
    const int row = own() + lane_ / 4, column = lane_ % 4 * 2;
    float of_rows[2] = {up_to(row), up_to(row + 8)};
    for (int b = warp_; b >= 0; --b) {
      for (int n = 0; n < 4; ++n) {
        const int r = row + n % 2 * 8, s = column + n / 2 * 8, at = score_at(r) + b * subchunk + s;
        float first, second;
        if (b == warp_) {
          first = table_[r * table_pitch + s], second = table_[r * table_pitch + s + 1];
        } else {
          first = of_rows[n % 2] * behind(b * subchunk + s);
          second = of_rows[n % 2] * behind(b * subchunk + s + 1);
        }
        to.put(r, (b * subchunk + s) / 2,
               split(block_, decayed(first, float(dots_[at])),
                     decayed(second, float(dots_[at + 1]))));
      }
      if (b < warp_)
        for (float& of_row : of_rows) of_row = of_row * total(b);
    }
  }
  // Adds x times the numbers of the warp's tokens, a sum a token, to what is at Sums; then x is
  // multiplied by the gates between the token and the chunk's start, or its end.
  template <int Sums>
  GATESCAN_HD void meet(fragments& x, const tile& by) const {
    float between = 1, sum[2] = {};
    unrolled<subchunks>([&](int b) {
      if (Sums == of_start ? b < warp_ : b > warp_) between = between * total(b);
    });
    const int row = own() + lane_ / 4;
    const auto decay = [&](int t) { return (Sums == of_start ? up_to(t) : behind(t)) * between; };
    const float decays[2] = {decay(row), decay(row + 8)};
    unrolled<groups>([&](int g) {
      const split_fragment numbers = by.fragment(block_, own(), g * 16);
      for (int n = 0; n < 4; ++n) {
        float &first = x[g][n / 2][n % 2 * 2], &second = x[g][n / 2][n % 2 * 2 + 1];
        unrolled<2>([&](int p) {
          const std::uint32_t both = numbers.of[p][n].bits;
          sum[n % 2] += first * bits_as<float>(both << 16);
          sum[n % 2] += second * bits_as<float>(both & 0xffff0000u);
        });
        first = decayed(decays[n % 2], first), second = decayed(decays[n % 2], second);
      }
    });
    unrolled<2>([&](int half) {
      for (int m = 1; m < 4; m *= 2) sum[half] += block_.shuffle_xor(sum[half], m);
      if (lane_ % 4 == 0) small_[Sums + row + half * 8] += sum[half];
    });
  }
  GATESCAN_HD static void clear(fragments& x) {
    unrolled<groups>([&](int g) {
      for (int i = 0; i < 8; ++i) x[g][i / 4][i % 4] = 0;
    });
  }

  Block& block_;
  Block memory_;
  array<float> dots_;   // [query][token]: dP, then E, then U
  array<float> table_;  // [query][token of its subchunk]: D
  array<float> small_;
  array<int> counters_;
  int warp_ = 0, lane_ = 0;
  // sums of dP of the first tile, then of q k^T; S do and G v, which become the gradients
  fragments scores_ = {}, before_ = {}, after_ = {};
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
