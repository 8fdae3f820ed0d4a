#pragma once
// split_scan where all keys of a token have one gate. What gates do is then a number D_ts a pair of
// tokens, and q and k enter products as they are:
//
//   D_ts = prod_{j=s+1..t} a_j      o = (D . (q k^T)) v + D_t (q . state at the chunk's start)
//
// (backward against time, with own tokens s). D is a product of gates from a token to the end of
// its subchunk of 16 tokens, of whole ones between, and from a subchunk's start to a token; inside
// one a running product. No quotient, no exponential but the recurrence's own, and 0 at a reset.

#include "split_sums.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// What it asks of shared memory.
template <class R, class T>
struct head_scan_memory {
  using config = tile_config<R, T>;
  static constexpr int decays = 5 * config::tokens;
  static constexpr int bytes = split_tile_memory<R, T>::bytes + shared_size<float>(decays);
};

template <class R, class T, bool Adjoint, class Block>
class head_scan : public split_sums<R, T, Adjoint, Block> {
  using base = split_sums<R, T, Adjoint, Block>;
  using base::block_, base::x_, base::warp_, base::lane_;
  using base::other_, base::sum_, base::groups;
  using base::shape, base::smaller;
  using base::subchunk_at, base::sees, base::fragment_of, base::add_values, base::add_states;
  using base::tokens, base::subchunk, base::subchunks, base::rows;
  using typename base::config, typename base::fields;
  static_assert(!config::complex);

 public:
  GATESCAN_HD head_scan(Block& block, const fields& x, const tile_shape& of)
      : head_scan(block, block, block, x, of) {}

  /// As split_scan's.
  template <class ReadValues, class ReadStates>
  GATESCAN_HD void run(index_t key_count, const ReadValues& read_values,
                       const ReadStates& read_states) {
    block_.sync();
    find_thread();
    load_gates(0, shape().count, of_own);
    const int key_tiles = static_cast<int>(ceil_divide(key_count, config::keys));
    for (int n = 0; n < key_tiles; ++n) {
      const int keys = keys_of(n, key_count);
      find_thread();
      block_.sync();
      load_keys<Adjoint>(own_rows_, 0, shape().count, keys);
      load_keys<!Adjoint>(other_, 0, shape().count, keys);
      this->load_states(read_states(), static_cast<index_t>(n) * config::keys, keys);
      block_.sync();
      for (int d = 0; d < keys; d += 16) {
        const split_fragment own = own_rows_.fragment(block_, warp_ * subchunk, d);
        score(own, subchunks - 1, warp_, d);
        unrolled<subchunks - 1>([&](int m) {
          if (sees(subchunk_at(m))) score(own, m, subchunk_at(m), d);
        });
        add_states(own, d);
      }
      move_operands<R, T>(x_, 0, config::keys);
    }
    find_thread();
    // so far own tokens have seen the chunk's start without gates
    float_pair decay = own_decay();
    {
      float_pair across = decay;
      for (int b = 0; b < subchunks; ++b)
        if (Adjoint ? b > warp_ : b < warp_) across = times(across, total(of_own, b));
      move_operands<R, T>(x_, 0, -static_cast<index_t>(key_tiles) * config::keys);
      for (int i = 1; i <= shape().others; ++i)
        across = times(across, product_of(place(i), there(i)));
      unrolled<groups>([&](int g) { weigh(sum_[g], across, {1, 1}, {1, 1}); });
    }
    this->bring_values(read_values);
    unrolled<subchunks - 1>([&](int m) {
      const int b = subchunk_at(m);
      if (sees(b)) add_scores(scores_[m], decay, of_own, b);
    });
    weigh_inside(scores_[subchunks - 1]);
    add_values(fragment_of(scores_[subchunks - 1]), warp_ * subchunk);

    for (int i = 1; i <= shape().others; ++i) {
      const index_t from = place(i);
      const int count = there(i);
      unrolled<subchunks>([&](int b) {
        for (int m = 0; m < 8; ++m) scores_[b][m / 4][m % 4] = 0;
      });
      for (int n = 0; n < key_tiles; ++n) {
        const int keys = keys_of(n, key_count);
        find_thread();
        block_.sync();
        if (n == 0) load_gates(from, count, of_others);
        load_keys<Adjoint>(own_rows_, 0, shape().count, keys);
        load_keys<!Adjoint>(other_, from, count, keys);
        if (n == 0) this->load_values(read_values(), from, count);
        block_.sync();
        for (int d = 0; d < keys; d += 16) {
          const split_fragment own = own_rows_.fragment(block_, warp_ * subchunk, d);
          unrolled<subchunks>([&](int b) {
            if (b * subchunk < count) score(own, b, b, d);
          });
        }
        move_operands<R, T>(x_, 0, config::keys);
      }
      move_operands<R, T>(x_, 0, -static_cast<index_t>(key_tiles) * config::keys);
      unrolled<subchunks>([&](int m) {
        const int b = Adjoint ? m : subchunks - 1 - m;
        if (b * subchunk < count) add_scores(scores_[b], decay, of_others, b);
      });
    }
  }

 private:
  // The own rows in the place of split_scan's own numbers.
  GATESCAN_HD head_scan(Block& block, Block of_rows, Block of_table, const fields& x,
                        const tile_shape& of)
      : base(block, x, of),
        own_rows_(of_rows, tokens, 0),
        decays_(block.template shared<float>(head_scan_memory<R, T>::decays)),
        table_(of_table.template shared<float>(tokens * split_pitch<rows>)) {}

  GATESCAN_HD void find_thread() {
    base::find_thread();
    own_rows_.find_lane(lane_);
  }

  // ---- tiles

  GATESCAN_HD static int keys_of(int tile, index_t key_count) {
    const index_t left = key_count - static_cast<index_t>(tile) * config::keys;
    return left < config::keys ? static_cast<int>(left) : config::keys;
  }
  // of the i-th other tile, tokens from the own one on, and how many it has
  GATESCAN_HD static index_t place(int i) {
    return (Adjoint ? tokens : -tokens) * static_cast<index_t>(i);
  }
  GATESCAN_HD int there(int i) const { return i == shape().others ? shape().last_count : tokens; }

  // Keys, or queries. Tokens that are not there are the last one again, keys are 0.
  template <bool Keys>
  GATESCAN_HD void load_keys(const split_rows<Block, rows>& to, index_t from, int count,
                             int keys) const {
    if ((warp_ + 1) * subchunk <= count && keys == config::keys)
      load_keys<Keys, true>(to, from, count, keys);
    else
      load_keys<Keys, false>(to, from, count, keys);
  }
  template <bool Keys, bool Whole>
  GATESCAN_HD void load_keys(const split_rows<Block, rows>& to, index_t from, int count,
                             int keys) const {
    const int first = warp_ * subchunk, key = 2 * lane_, second = Whole || key < keys - 1 ? 1 : 0;
    fields x = x_;
    move_operands<R, T>(x, from + (Whole ? first : smaller(first, count - 1)),
                        Whole ? key : smaller(key, keys - 1));
    const auto number = [&](int k) -> float {
      const auto token = R::keys(x, typename config::cursor{0, 0, 0, k * second, 0});
      const float r = Keys ? token.k : token.q;
      return Whole || key + k < keys ? r : 0;
    };
    put_rows(block_, to, first, lane_, [&](int t, int) -> float_pair {
      const float_pair r{number(0), number(1)};
      if (Whole || t + 1 < count) move_operands<R, T>(x, 1, 0);
      return r;
    });
  }

  // ---- decays: [up to a token in its subchunk, after it][token], of the own tile and another one

  static constexpr int of_own = 0, of_others = 2 * tokens, own_gates = 4 * tokens;

  GATESCAN_HD float gate_of(index_t from, int t, int count) const {
    fields x = x_;
    move_operands<R, T>(x, from + smaller(t, count - 1), 0);
    const float gate = R::keys(x, typename config::cursor{0, 0, 0, 0, 0}).gate;
    return t < count ? gate : 1;
  }
  // Of the warp's subchunk: half a warp up to tokens, half after them.
  GATESCAN_HD void load_gates(index_t from, int count, int to) {
    const int r = lane_ % subchunk, later = lane_ / subchunk, t = warp_ * subchunk + r;
    float product = gate_of(from, t + later, count);
    if (r + later == subchunk) product = 1;
    if (to == of_own && later == 0) decays_[own_gates + t] = product;
    for (int m = 1; m < subchunk; m *= 2) {
      const int lane = lane_ + (later == 1 ? m : -m);
      const float next = block_.shuffle(product, lane & (warp_threads - 1));
      if (later == 1 ? r + m < subchunk : r >= m) product = product * next;
    }
    decays_[to + later * tokens + t] = product;
  }
  GATESCAN_HD float product_of(index_t from, int count) {
    float product = gate_of(from, lane_, count) * gate_of(from, lane_ + warp_threads, count);
    for (int m = 1; m < warp_threads; m *= 2) product = product * block_.shuffle_xor(product, m);
    return product;
  }
  GATESCAN_HD float total(int of, int b) const { return decays_[of + (b + 1) * subchunk - 1]; }
  // of the rows that a lane has
  GATESCAN_HD float_pair own_decay() const {
    const int at = of_own + (Adjoint ? tokens : 0) + warp_ * subchunk + lane_ / 4;
    return {decays_[at], decays_[at + 8]};
  }
  GATESCAN_HD static float_pair times(float_pair x, float by) {
    return {x.first * by, x.second * by};
  }

  // ---- scores, of which a lane has rows lane / 4 and 8 further on, and two columns of each tile

  GATESCAN_HD void score(const split_fragment& own, int n, int b, int d) {
    add_truncated(block_, scores_[n], own, other_.rows_as_columns(block_, b * subchunk, d));
  }
  // 0 where a decay is, whatever it meets
  GATESCAN_HD static void weigh(float (&x)[2][4], float_pair row, float_pair first,
                                float_pair second) {
    const float of_rows[2] = {row.first, row.second};
    const float of_columns[2][2] = {{first.first, first.second}, {second.first, second.second}};
    for (int tile = 0; tile < 2; ++tile)
      for (int i = 0; i < 4; ++i)
        x[tile][i] = decayed(of_rows[i / 2] * of_columns[tile][i % 2], x[tile][i]);
  }
  // with subchunk b, which own tokens go past
  GATESCAN_HD void add_scores(float (&x)[2][4], float_pair& decay, int of, int b) {
    const int at = of + (Adjoint ? 0 : tokens) + b * subchunk + lane_ % 4 * 2;
    weigh(x, decay, {decays_[at], decays_[at + 1]}, {decays_[at + 8], decays_[at + 9]});
    add_values(fragment_of(x), b * subchunk);
    decay = times(decay, total(of, b));
  }
  // with the own subchunk; own rows have been used, in their place comes D
  GATESCAN_HD void weigh_inside(float (&x)[2][4]) const {
    constexpr int pitch = subchunk + 1;
    const auto table = table_ + warp_ * (subchunk * split_pitch<rows>);
    const int s = lane_ % subchunk, half = lane_ / subchunk;
    float product = 1;
    block_.sync_warp();
    unrolled<subchunk>([&](int t) {
      if (t > s) product = product * decays_[own_gates + warp_ * subchunk + t];
      if (t / 8 == half) table[Adjoint ? s * pitch + t : t * pitch + s] = t < s ? 0 : product;
    });
    block_.sync_warp();
    for (int tile = 0; tile < 2; ++tile)
      for (int i = 0; i < 4; ++i) {
        const int row = lane_ / 4 + i / 2 * 8, column = tile * 8 + lane_ % 4 * 2 + i % 2;
        x[tile][i] = decayed(float(table[row * pitch + column]), x[tile][i]);
      }
  }

  split_rows<Block, rows> own_rows_;  // [token][row]
  decltype(std::declval<Block&>().template shared<float>(1)) decays_, table_;
  registers<float[2][4], subchunks> scores_ = {};  // with subchunk_at(n), and with the own one
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
