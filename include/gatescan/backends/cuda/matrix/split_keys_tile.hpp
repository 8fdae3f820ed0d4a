#pragma once
// split_keys_adjoint's tile, [64 tokens][64 rows of keys], on matrix units; x, Y, dP, G and S are
// those of chunk_keys_adjoint. A warp has a subchunk of 16 tokens, and needs of all others
//
//   Y_r  at the subchunk's start, for its own queries r: S do_r and the k of earlier subchunks
//   D_s  the sum of x dP_s over all queries after the subchunk, x at its end: G and their q
//   W    the sum of x Y over them, x at its end, Y at its start
//
// Y and D are products of dP with k and q times the gates to an end of their subchunk, one subchunk
// after another, times the products of whole ones between. Those queries are then one more, with
// x = 1, dP_s = D_s and Y = W, and a thread goes past the subchunk's 16 tokens with 17 queries, one
// key at a time. No quotient, no difference: exact at any gate.

#include "chunk_keys_replay.hpp"
#include "gradient_stores.hpp"
#include "split_keys_loads.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, class Block>
class split_keys_tile : split_keys_loads<R, T, Block> {
  using base = split_keys_loads<R, T, Block>;
  using base::block_, base::small_, base::totals_, base::crossing_, base::ends_, base::memory_,
      base::warp_, base::lane_;
  using base::find_thread, base::own, base::get, base::put;
  using base::tokens, base::subchunk, base::subchunks, base::rows, base::pairs, base::values,
      base::crossings, base::tile_bytes, base::pitch;
  using typename base::tile, typename base::keys_of_lane;
  template <class X>
  using array = typename base::template array<X>;

 public:
  using typename base::config, typename base::fields, typename base::E;
  // keys that the lanes of a warp have, one each
  static constexpr int passes = config::keys / warp_threads;

  GATESCAN_HD explicit split_keys_tile(Block& block) : base(block) {}

  // ---- sums over values

  /// dP, S do and conj(G) v. read_values(), read_d_outs(): readers at the chunk's first token and
  /// value; read_states(true) is G, each of the tile's keys.
  /// All are asked for anew where they are needed, not kept in registers.
  template <class Extents, class Values, class DOuts, class States>
  GATESCAN_HD void contract(index_t value_count, const Extents& extents, const Values& read_values,
                            const DOuts& read_d_outs, const States& read_states) {
    fragments scores = {};
    float both[2][4] = {};
    for (int n = 0; n < ceil_divide(value_count, values); ++n) {
      const index_t done = static_cast<index_t>(n) * values, left = value_count - done;
      const int there = left < values ? static_cast<int>(left) : values;
      block_.sync();
      const auto load = [&](auto whole) {
        constexpr bool w = decltype(whole)::value;
        const tile_extents<config> of_tile = extents();
        const auto to = contracted();
        put_values<w>(block_, to.values, read_values(), own(), lane_, of_tile.count, done, there);
        put_values<w>(block_, to.d_outs, read_d_outs(), own(), lane_, of_tile.count, done, there);
        this->template load_states<w, false>(to.states, read_states(false), of_tile.keys, done,
                                             there);
        this->template load_states<w, true>(to.adjoints, read_states(true), of_tile.keys, done,
                                            there);
      };
      if (there == values && extents().whole())
        load(std::true_type{});
      else
        load(std::false_type{});
      block_.sync();
      const auto of = contracted();
      for (int d = 0; d < there; d += 16) {
        const split_fragment d_out = of.d_outs.fragment(block_, own(), d);
        unrolled<groups>([&](int g) {
          if (g <= warp_)
            add_product(block_, scores[g], d_out, of.values.rows_as_columns(block_, g * 16, d));
          add_product(block_, before_[g], d_out, of.states.rows_as_columns(block_, g * 16, d));
        });
        const split_fragment value = of.values.fragment(block_, own(), d);
        unrolled<groups>([&](int g) {
          add_product(block_, after_[g], value, of.adjoints.rows_as_columns(block_, g * 16, d));
        });
        add_product(block_, both, of.adjoints.fragment(block_, own(), d),
                    of.states.rows_as_columns(block_, own(), d));
      }
    }
    find_thread();
    block_.sync();
    store_scores(scores);
    // of conj(G) S the numbers of a key
    if (lane_ % 4 == lane_ / 8)
      unrolled<2>([&](int half) {
        ends_[own() + half * 8 + lane_ / 4] = {both[half][half * 2], both[half][half * 2 + 1]};
      });
  }

  // ---- sums over other subchunks

  /// x: operands from the chunk's first token and the tile's first key on.
  GATESCAN_HD void reach(const fields& x, int count, int keys) {
    find_thread();
    Block memory = memory_;
    const tile scores(memory, tokens, lane_), of_keys(memory, tokens, lane_),
        queries(memory, tokens, lane_);
    const auto gates = memory.template shared<float_pair>(tokens * pairs);
    this->load_keys(x, count, keys, of_keys, queries, gates);
    block_.sync();
    {
      registers<keys_of_lane, 2 * tiles> query;
      load_own(queries, query);
      for (int b = 0; b < warp_; ++b) {
        store_crossing(crossing_at(warp_, b), before_, query);
        multiply(before_, b);
        const split_fragment score = scores.fragment(block_, own(), b * subchunk);
        unrolled<groups>([&](int g) {
          add_product(block_, before_[g], score, of_keys.columns(block_, b * subchunk, g * 16));
        });
      }
    }
    {
      registers<keys_of_lane, 2 * tiles> key;
      load_own(of_keys, key);
      store_crossing(crossing_at(warp_, warp_), after_, key);
    }
    for (int b = subchunks - 1; b > warp_; --b) {
      multiply(after_, b);
      const split_fragment score = scores.transposed_fragment(block_, b * subchunk, own());
      unrolled<groups>([&](int g) {
        add_product(block_, after_[g], score, queries.columns(block_, b * subchunk, g * 16));
      });
    }
    block_.sync();
    store(before_, 1);
    store(after_, 2);
    block_.sync_warp();
  }

  // ---- inside a subchunk

  /// The gradients of the warp's tokens and the lane's key of a pass, where x are. They are kept in
  /// the places of Y, D and the gates. Returns whether all are finite.
  GATESCAN_HD bool sweep(const fields& x, int count, int keys, int pass) {
    find_thread();
    const int column = pass * warp_threads + lane_;
    const auto y_at = before(), d_at = after(), gate_at = gates();
    const auto scores = diagonal();
    registers<E, subchunk> k, gate, y, dk, da, score_after;
    unrolled<subchunk>([&](int n) {
      gate[n] = get(gate_at, own() + n, gate_pitch, column);
      score_after[n] = get(d_at, own() + n, 2 * pitch, column);
    });
    this->load_column(x, count, keys, column, k, d_at);
    E number = crossing_of(column);
    unrolled<subchunk>([&](int n) {
      y[n] = number;
      number = gate[n] * number + k[n] * score_after[n];
    });
    number = number_cast<E>(1.0f);
    unrolled<subchunk>([&](int m) {
      const int n = subchunk - 1 - m;
      da[n] = number * y[n];
      dk[n] = number * score_after[n];
      number = number * gate[n];
    });
    bool finite = true;
    const auto meet = [&](int r) {
      registers<float, subchunk> score;
      unrolled<subchunk>([&](int n) {
        if (n <= r) score[n] = scores[score_at(r, n)];
      });
      E of_r = get(y_at, own() + r, 2 * pitch, column);
      unrolled<subchunk>([&](int n) {
        if (n > r) return;
        y[n] = of_r;
        of_r = gate[n] * of_r + k[n] * score[n];
      });
      put(y_at, own() + r, 2 * pitch, column, of_r);
      finite = finite && is_finite(of_r);
      of_r = get(d_at, own() + r, 2 * pitch, column);
      unrolled<subchunk>([&](int m) {
        const int n = subchunk - 1 - m;
        if (n > r) return;
        da[n] = da[n] + of_r * y[n];
        dk[n] = dk[n] + of_r * score[n];
        of_r = of_r * gate[n];
      });
    };
    if constexpr (config::complex)  // else too long a text for registers
      for (int r = 0; r < subchunk; ++r) meet(r);
    else
      unrolled<subchunk>(meet);
    unrolled<subchunk>([&](int n) {
      finite = finite && is_finite(dk[n]) && is_finite(da[n]);
      put(d_at, own() + n, 2 * pitch, column, dk[n]);
      put(gate_at, own() + n, gate_pitch, column, da[n]);
    });
    return finite || column >= keys;
  }

  /// Of a token and key.
  GATESCAN_HD keys_of<E> gradient(int t, int column) const {
    return {conj(get(before(), t, 2 * pitch, column)), conj(get(after(), t, 2 * pitch, column)),
            conj(get(gates(), t, gate_pitch, column))};
  }
  GATESCAN_HD void put_gradient(int t, int column, const keys_of<E>& g) const {
    put(before(), t, 2 * pitch, column, conj(g.q));
    put(after(), t, 2 * pitch, column, conj(g.k));
    put(gates(), t, gate_pitch, column, conj(g.gate));
  }
  // Scratch that gradients leave, for replay_keys: a number a token and key each.
  static constexpr int replay_keys_together = config::complex ? 8 : 16,
                       replay_pitch = replay_keys_together * config::planes;
  static_assert(4 * tokens * replay_pitch * static_cast<int>(sizeof(float)) <= tile_bytes);
  GATESCAN_HD replay_memory<array<float>> of_replay() const {
    Block memory = memory_;
    constexpr int size = tokens * replay_pitch;
    const auto first = memory.template shared<float>(4 * size);
    return {first, first + size, first + 2 * size, first + 3 * size};
  }

 private:
  static constexpr int gate_pitch = 2 * pairs, groups = rows / 16, tiles = rows / 8;
  using fragments = registers<float[2][4], groups>;

  // ---- memory: scores, then k and q, where Y and D will be, then gates

  // of what sums over values are made
  struct contraction {
    tile values, d_outs, states, adjoints;
  };
  GATESCAN_HD contraction contracted() {
    find_thread();
    Block memory = memory_;
    return {tile(memory, tokens, lane_), tile(memory, tokens, lane_), tile(memory, rows, lane_),
            tile(memory, rows, lane_)};
  }
  GATESCAN_HD array<float> diagonal() const { return numbers(0, tile_bytes / 4); }
  GATESCAN_HD array<float> before() const { return numbers(1, tile_bytes / 4); }
  GATESCAN_HD array<float> after() const { return numbers(2, tile_bytes / 4); }
  GATESCAN_HD array<float> gates() const { return numbers(3, tokens * gate_pitch); }
  GATESCAN_HD array<float> numbers(int tiles_before, int count) const {
    return this->template shared_behind<float>(tiles_before * tile_bytes, count);
  }
  // dP of a subchunk with itself are floats, in the place of their halves: eight columns each
  GATESCAN_HD int score_at(int r, int n) const {
    return n / 8 * (tokens * pitch) + (own() + r) * pitch + own() / 2 + n % 8;
  }
  GATESCAN_HD void store_scores(const fragments& scores) const {
    Block memory = memory_;
    const tile to(memory, tokens, lane_);
    const auto floats = diagonal();
    unrolled<groups>([&](int g) {
      for (int n = 0; n < 4; ++n) {
        const int r = lane_ / 4 + n % 2 * 8, column = n / 2 * 8 + lane_ % 4 * 2;
        const float first = scores[g][n / 2][n % 2 * 2], second = scores[g][n / 2][n % 2 * 2 + 1];
        if (g < warp_) {
          to.put(own() + r, (g * 16 + column) / 2, split(block_, first, second));
        } else if (g == warp_) {
          floats[score_at(r, column)] = first;
          floats[score_at(r, column + 1)] = second;
        }
      }
    });
  }

  // ---- fragments of the warp's tokens and all rows

  GATESCAN_HD int pair_of_tile(int n) const { return n * 4 + lane_ % 4; }
  GATESCAN_HD static float_pair pair_in(const fragments& x, int n, int half) {
    return {x[n / 2][n % 2][2 * half], x[n / 2][n % 2][2 * half + 1]};
  }
  GATESCAN_HD static keys_of_lane keys_in(const fragments& x, int n, int half) {
    return keys_of_lane::of_pair(pair_in(x, n, half));
  }
  // times the product of gates of subchunk b
  GATESCAN_HD void multiply(fragments& x, int b) const {
    unrolled<tiles>([&](int n) {
      const auto total = keys_of_lane::of_pair(totals_[b * pairs + pair_of_tile(n)]);
      unrolled<2>([&](int half) {
        const float_pair product = (total * keys_in(x, n, half)).pair();
        x[n / 2][n % 2][2 * half] = product.first, x[n / 2][n % 2][2 * half + 1] = product.second;
      });
    });
  }
  GATESCAN_HD void store(const fragments& x, int tiles_before) const {
    const auto to =
        this->template shared_behind<float_pair>(tiles_before * tile_bytes, tile_bytes / 8);
    unrolled<tiles>([&](int n) {
      unrolled<2>([&](int half) {
        to[(own() + lane_ / 4 + half * 8) * pitch + pair_of_tile(n)] = pair_in(x, n, half);
      });
    });
  }
  GATESCAN_HD void load_own(const tile& from, registers<keys_of_lane, 2 * tiles>& to) const {
    unrolled<2 * tiles>([&](int n) {
      to[n] =
          keys_of_lane::of_pair(from.number(own() + lane_ / 4 + n % 2 * 8, pair_of_tile(n / 2)));
    });
  }
  GATESCAN_HD static constexpr int crossing_at(int queries, int b) {
    return queries * (queries + 1) / 2 + b;
  }
  // sum over the warp's tokens of x times their numbers
  GATESCAN_HD void store_crossing(int at, const fragments& x,
                                  const registers<keys_of_lane, 2 * tiles>& by) const {
    registers<keys_of_lane, tiles> sum;
    unrolled<tiles>(
        [&](int n) { sum[n] = by[2 * n] * keys_in(x, n, 0) + by[2 * n + 1] * keys_in(x, n, 1); });
    // lanes with other rows of the same pairs: each has half as many pairs left
    add_up<tiles / 2>(sum);
    crossing_[at * pairs + lane_] = sum[0].pair();
  }
  template <int Left>
  GATESCAN_HD void add_up(registers<keys_of_lane, tiles>& sum) const {
    constexpr int to = Left * 4;
    const bool upper = (lane_ & to) != 0;
    unrolled<Left>([&](int n) {
      const float_pair first = sum[n].pair(), second = sum[n + Left].pair();
      const float_pair kept = upper ? second : first, given = upper ? first : second;
      sum[n] = keys_of_lane::of_pair({kept.first + block_.shuffle_xor(given.first, to),
                                      kept.second + block_.shuffle_xor(given.second, to)});
    });
    if constexpr (Left > 1) add_up<Left / 2>(sum);
  }

  // W of the warp's subchunk and a key
  GATESCAN_HD E crossing_of(int column) const {
    const auto total = [&](int b) { return get(small_, b, rows, column); };
    const auto crossing = [&](int queries, int b) {
      return get(small_, subchunks + crossing_at(queries, b), rows, column);
    };
    E sum{}, factor = number_cast<E>(1.0f), y = end_of(column);
    unrolled<subchunks>([&](int c) {
      if (c < warp_) y = total(c) * y + crossing(c, c);
      if (c <= warp_) return;
      sum = sum + factor * crossing(c, warp_);
      factor = total(c) * factor;
    });
    return sum + factor * y;
  }
  GATESCAN_HD E end_of(int column) const {
    constexpr int first = (subchunks + crossings) * rows;
    if constexpr (config::complex) {
      const auto at = [&](int n) -> float { return small_[first + 4 * column + n]; };
      return {at(0) - at(3), at(1) + at(2)};
    } else {
      return small_[first + 2 * column + column % 2];
    }
  }

  fragments before_ = {}, after_ = {};  // Y and D
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
