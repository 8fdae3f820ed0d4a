#pragma once
// head_keys_adjoint's tile, [64 tokens][64 keys], on matrix units. With D_ts the product of gates
// after s up to t, dP_ts = do_t v_s, S the state at the chunk's start and G the gradient of that at
// its end,
//
//   dq_t = sum_s D_ts dP_ts k_s + D_t S do_t    dk_s = sum_t D_ts dP_ts q_t + D(after s) G v_s
//   da_t = sum over r >= t, s < t of D_rt E_rs D_(t-1)s    E_rs = dP_rs (q_r k_s)
//
// where S is one more s, before all tokens: E_r = q_r S do_r, and G one more r, after them: E_s =
// k_s G v_s, both of them E = <G, S>. The last sum is over all keys: a number a pair of tokens. By
// two running sums, U_r(t+1) = a_t U_r(t) + E_rt and then one over r, there is no quotient and no
// difference: exact at any gate.

#include "chunk_keys_replay.hpp"
#include "gradient_stores.hpp"
#include "head_keys_loads.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, class Block>
class head_keys_tile : head_keys_loads<R, T, Block> {
  using base = head_keys_loads<R, T, Block>;
  using base::block_, base::dots_, base::small_, base::table_, base::warp_, base::lane_;
  using base::contracted, base::reached, base::gradients, base::find_thread, base::own;
  using base::of_start, base::of_end, base::of_gradient, base::of_corner;
  using base::tokens, base::subchunk, base::subchunks, base::rows, base::values, base::groups,
      base::as_they_stand, base::tile_bytes, base::score_pitch, base::score_row, base::scores_size,
      base::table_pitch, base::pitch;
  using base::up_to, base::behind, base::total, base::gate, base::score_at;
  using base::value_tile, base::go_to_values, base::values_of_tile;
  using typename base::tile;
  template <class X>
  using array = typename base::template array<X>;
  using fragments = registers<float[2][4], groups>;

 public:
  using base::key_tile, base::go_to_keys, base::load_gates;
  using typename base::config, typename base::fields;

  GATESCAN_HD explicit head_keys_tile(Block& block) : base(block) {}

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
        this->template load_values<decltype(whole)::value>(
            of_tile, read_values, read_d_outs, read_states, value_count,
            static_cast<index_t>(n) * values, values_of_tile(value_count, n));
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
      this->template load_keys<false>(of.queries, x, count, keys);
      this->template load_keys<true>(of.keys, x, count, keys);
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
          add_truncated(block_, after_[g], score, of.queries.columns(block_, b * subchunk, g * 16));
        });
      }
    }
    find_thread();
    block_.sync();
    float not_finite = 0;
    const auto store = [&](const fragments& from, int tiles_before) {
      const auto to =
          this->template shared_behind<float_pair>(tiles_before * tile_bytes, tokens * pitch);
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
    const auto first = this->template shared_behind<float>(2 * tile_bytes, 4 * size);
    return {first, first + size, first + 2 * size, first + 3 * size};
  }
  GATESCAN_HD array<float> of_gates() const { return dots_; }
  static_assert(tokens * replay_keys_together <= scores_size);

 private:
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
        to.put(
            r, (b * subchunk + s) / 2,
            split(block_, decayed(first, float(dots_[at])), decayed(second, float(dots_[at + 1]))));
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

  // sums of dP of the first tile, then of q k^T; S do and G v, which become the gradients
  fragments scores_ = {}, before_ = {}, after_ = {};
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
