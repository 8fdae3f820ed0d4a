#pragma once
// chunk_scan's tile where operands have 16 bits: o = P v + own state, [64 tokens][values], on
// matrix units. A warp has a subchunk of 16 own tokens; scores P of its tokens stay in its
// registers, over all keys, until values are read once. With G the products of gates,
//
//   own^_t = own_t G(since the subchunk's start)     other^_s = other_s G(to its subchunk's end)
//   P_ts = (own^_t f) other^_s    f: the product of the whole subchunks between them; inside one,
//                                 1 over its own product
//
// (backward against time). No quotient but that last one, and where gates do not allow it (a reset,
// far decays), pairs of that subchunk are scored by running products of gates, as everywhere else.

#include "split_sums.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, bool Adjoint, class Block>
class split_scan : public split_sums<R, T, Adjoint, Block> {
  using base = split_sums<R, T, Adjoint, Block>;
  using base::block_, base::x_, base::warp_, base::lane_;
  using base::find_thread, base::shape, base::smaller;
  using base::own_, base::other_, base::totals_, base::inverses_;
  using base::subchunk_at, base::sees, base::fragment_of, base::add_values, base::add_states;
  using base::tokens, base::subchunk, base::subchunks, base::values, base::pairs, base::own_pitch,
      base::keys_a_lane;
  using typename base::config;
  using typename base::E;
  using typename base::keys_of_lane;

 public:
  using base::split_sums;

  /// Of all keys. read_values() is what reads values from the tile's first token and column on:
  /// with v = read_values().moved(tokens, values) v(0) and v(1) are one and its neighbour, and
  /// v.next_token() goes on. read_states() are those of the tile's columns. Both are asked for anew
  /// where they are needed.
  template <class ReadValues, class ReadStates>
  GATESCAN_HD void run(index_t key_count, const ReadValues& read_values,
                       const ReadStates& read_states) {
    block_.sync();
    for (int key_tile = 0; key_tile < ceil_divide(key_count, config::keys); ++key_tile) {
      const index_t done = static_cast<index_t>(key_tile) * config::keys;
      const index_t left = key_count - done;
      const int keys = left < config::keys ? static_cast<int>(left) : config::keys;
      const int depth = (config::planes * keys + 15) / 16 * 16;
      bool divides = true;
      for (int i = 0; i <= shape().others; ++i) {
        const tile_shape of = shape();
        const int there = i == 0 ? of.count : i == of.others ? of.last_count : tokens;
        const index_t from = (Adjoint ? tokens : -tokens) * static_cast<index_t>(i);
        find_thread();
        block_.sync();
        const keys_of_lane total = this->load_other(from, there, keys, i == 0, divides);
        if (i == 0)
          divides = this->load_own(keys, total, divides);
        else
          this->load_values(read_values(), from, there);
        if (of.others == 0) this->load_states(read_states(), done, keys);
        block_.sync();
        if (i == 0)
          score_mine(depth, divides);
        else
          for (int m = 0; m < subchunks; ++m) pass(depth, there, Adjoint ? m : subchunks - 1 - m);
      }
      if (shape().others > 0) {
        block_.sync();
        this->load_states(read_states(), done, keys);
        block_.sync();
      }
      for (int d = 0; d < depth; d += 16) {
        float_pair own[4];
        load_own_fragment(d, own);
        add_states(split_own(own), d);
      }
      if (!divides) score_exactly(keys);
      move_operands<R, T>(x_, 0, config::keys);
    }
    find_thread();
    this->bring_values(read_values);
    unrolled<subchunks - 1>([&](int n) {
      if (sees(subchunk_at(n))) add_values(fragment_of(past_[n]), subchunk_at(n) * subchunk);
    });
    for (int tile = 0; tile < 2; ++tile)
      for (int i = 0; i < 4; ++i) {
        const int t = lane_ / 4 + i / 2 * 8, s = tile * 8 + lane_ % 4 * 2 + i % 2;
        if (Adjoint ? s < t : s > t) diagonal_[tile][i] = 0;
      }
    add_values(fragment_of(diagonal_), warp_ * subchunk);
  }

 private:
  GATESCAN_HD int own_at(int d, int n) const {
    return (warp_ * subchunk + lane_ / 4 + n % 2 * 8) * own_pitch + pair_at(d, n);
  }
  GATESCAN_HD int pair_at(int d, int n) const { return d / 2 + lane_ % 4 + n / 2 * 4; }
  GATESCAN_HD void load_own_fragment(int d, float_pair (&own)[4]) const {
    for (int n = 0; n < 4; ++n) own[n] = own_[own_at(d, n)];
  }
  GATESCAN_HD void store_own(int d, const float_pair (&own)[4]) const {
    for (int n = 0; n < 4; ++n) own_[own_at(d, n)] = own[n];
  }
  template <class Array>
  GATESCAN_HD void multiply(float_pair (&own)[4], const Array& by, int b, int d) const {
    for (int column = 0; column < 2; ++column) {
      const float_pair factor = by[b * pairs + pair_at(d, 2 * column)];
      for (int row = 0; row < 2; ++row)
        own[2 * column + row] = times(factor, own[2 * column + row]);
    }
  }
  GATESCAN_HD split_fragment split_own(const float_pair (&own)[4]) const {
    split_fragment a;
    for (int n = 0; n < 4; ++n) a.put(n, split(block_, own[n].first, own[n].second));
    return a;
  }
  // With the own tokens' tile; own numbers go on to the chunk's side of it.
  GATESCAN_HD void score_mine(int depth, bool divides) {
    for (int d = 0; d < depth; d += 16) {
      float_pair own[4];
      load_own_fragment(d, own);
      if (divides) {
        float_pair divided[4];
        for (int n = 0; n < 4; ++n) divided[n] = own[n];
        multiply(divided, inverses_, warp_, d);
        add_product(block_, diagonal_, split_own(divided),
                    other_.rows_as_columns(block_, warp_ * subchunk, d));
      }
      unrolled<subchunks - 1>([&](int n) {
        const int b = subchunk_at(n);
        if (!sees(b)) return;
        add_product(block_, past_[n], split_own(own),
                    other_.rows_as_columns(block_, b * subchunk, d));
        multiply(own, totals_, b, d);
      });
      store_own(d, own);
    }
    block_.sync_warp();
  }
  // With subchunk b of another tile.
  GATESCAN_HD void pass(int depth, int count, int b) {
    if (b * subchunk >= count) return;
    float scores[2][4] = {};
    for (int d = 0; d < depth; d += 16) {
      float_pair own[4];
      load_own_fragment(d, own);
      add_product(block_, scores, split_own(own), other_.rows_as_columns(block_, b * subchunk, d));
      multiply(own, totals_, b, d);
      store_own(d, own);
    }
    add_values(fragment_of(scores), b * subchunk);
  }

  // Pairs inside the warp's subchunk by running products of gates, half of a tile's keys at a time:
  // own numbers of the warp have been used, in their place come other ones and gates.
  GATESCAN_HD void score_exactly(int keys) {
    constexpr int part = pairs / 2, pitch = part + 1, score_pitch = subchunk / 2 + 1;
    static_assert(2 * subchunk * pitch <= subchunk * own_pitch);
    const auto other = own_ + warp_ * subchunk * own_pitch, gates = other + subchunk * pitch;
    const int mine = lane_ % subchunk, half = lane_ / subchunk;
    float score[subchunk] = {};
    for (int first = 0; first < pairs && first * keys_a_lane < keys; first += part) {
      const auto token_of = [&](int t, int pair, int k, bool& inside) {
        const int token = warp_ * subchunk + t, key = (first + pair) * keys_a_lane + k;
        inside = token < shape().count && key < keys;
        return R::keys(x_, typename config::cursor{0, smaller(token, shape().count - 1), 0,
                                                   smaller(key, keys - 1), 0});
      };
      block_.sync_warp();
      for (int t = half; t < subchunk; t += 2) {
        keys_of_lane number, gate;
        for (int k = 0; k < keys_a_lane; ++k) {
          bool inside;
          const auto token = token_of(t, mine, k, inside);
          number.of[k] = inside ? E(Adjoint ? token.q : token.k) : E{};
          gate.of[k] = inside ? E(token.gate) : number_cast<E>(1.0f);
        }
        other[t * pitch + mine] = number.pair(), gates[t * pitch + mine] = gate.pair();
      }
      block_.sync_warp();
      for (int i = half; i < part; i += 2) {
        keys_of_lane number;
        for (int k = 0; k < keys_a_lane; ++k) {
          bool inside;
          const auto token = token_of(mine, i, k, inside);
          number.of[k] = inside ? E(Adjoint ? token.k : token.q) : E{};
        }
        unrolled<subchunk>([&](int n) {
          const int s = Adjoint ? n : subchunk - 1 - n;
          if (Adjoint ? s < mine : s > mine) return;
          const auto of_s = keys_of_lane::of_pair(other[s * pitch + i]),
                     gate = keys_of_lane::of_pair(gates[s * pitch + i]);
          for (int k = 0; k < keys_a_lane; ++k) {
            if (Adjoint && s > mine) number.of[k] = decayed(gate.of[k], number.of[k]);
            score[s] = score[s] + real_part(number.of[k] * of_s.of[k]);
            if (!Adjoint) number.of[k] = decayed(gate.of[k], number.of[k]);
          }
        });
      }
    }
    block_.sync_warp();
    unrolled<subchunk / 2>([&](int n) {
      const int s = 2 * n;
      const float first = score[s] + block_.shuffle_xor(score[s], subchunk),
                  second = score[s + 1] + block_.shuffle_xor(score[s + 1], subchunk);
      if (half == 0) other[mine * score_pitch + n] = {first, second};
    });
    block_.sync_warp();
    for (int n = 0; n < 4; ++n) {
      const float_pair both = other[(lane_ / 4 + n % 2 * 8) * score_pitch + n / 2 * 4 + lane_ % 4];
      diagonal_[n / 2][n % 2 * 2] += both.first;
      diagonal_[n / 2][n % 2 * 2 + 1] += both.second;
    }
  }

  GATESCAN_HD static float_pair times(float_pair factor, float_pair x) {
    return (keys_of_lane::of_pair(factor) * keys_of_lane::of_pair(x)).pair();
  }

  registers<float[2][4], subchunks - 1> past_ = {};  // scores with the subchunks of subchunk_at
  float diagonal_[2][4] = {};                        // and with the own one
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
