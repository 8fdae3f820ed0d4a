#pragma once
// The scores P_ts of a tile of 64 own tokens with other tokens, over one tile of keys: the steps of
// chunk_scan. Arrays are [row][token], complex numbers two rows, scores [other token of a
// subchunk][own token]. Threads of a warp have a subchunk of the own tokens.

#include "tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// Queries read after their gate, or before it.
template <class R, class T, bool Adjoint, bool BeforeGate = false>
struct chunk_scores {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using E = typename config::E;
  // `keys`: those of the tile that are there
  static constexpr int pitch = config::tokens + 1, plane = config::keys * pitch;

  struct number_and_gate {
    E number, gate;
  };

  /// own = q (backward k), 0 outside
  template <class Block, class Array>
  GATESCAN_HD static void load_own(Block& block, const typename config::fields& x, const sizes& n,
                                   const token_range& tokens, index_t first_key, const Array& own) {
    stage<config::tokens * config::keys, config::threads>(
        block.thread(),
        [&](int m) -> E {
          const int t = m / config::keys, i = m % config::keys;
          const auto token = R::keys(x, cursor_at(n, tokens, t, first_key + i));
          const bool inside = t < tokens.count() && first_key + i < n.keys;
          return inside ? E(Adjoint ? token.k : token.q) : E{};
        },
        [&](int m, E number) {
          put_number(own, m % config::keys * pitch + m / config::keys, plane, number);
        });
  }
  /// other = k (backward q) and gates; 0 and 1 outside
  template <class Block, class Array>
  GATESCAN_HD static void load_other(Block& block, const typename config::fields& x, const sizes& n,
                                     const token_range& tokens, index_t first_key,
                                     const Array& other, const Array& gates) {
    stage<config::tokens * config::keys, config::threads>(
        block.thread(),
        [&](int m) -> number_and_gate {
          const int t = m / config::keys, i = m % config::keys;
          const auto token = R::keys(x, cursor_at(n, tokens, t, first_key + i));
          const bool inside = t < tokens.count() && first_key + i < n.keys;
          return {inside ? E(Adjoint ? token.q : token.k) : E{},
                  inside ? E(token.gate) : number_cast<E>(C(1))};
        },
        [&](int m, const number_and_gate& x_m) {
          const int at = m % config::keys * pitch + m / config::keys;
          put_number(other, at, plane, x_m.number);
          put_number(gates, at, plane, x_m.gate);
        });
  }

  /// Pairs inside subchunks. Own numbers are multiplied by the gates up to the end of theirs.
  template <class Block, class Array>
  GATESCAN_HD static void score_own_subchunks(Block& block, int keys, const Array& own,
                                              const Array& other, const Array& gates,
                                              const Array& scores) {
    const int lane = block.thread() % warp_threads, mine = lane % config::subchunk,
              first = block.thread() / warp_threads * config::subchunk;
    C score[config::subchunk] = {};
    for (int i = lane / config::subchunk; i < keys; i += 2) {
      const int row = i * pitch + first;
      E number = number_at<E>(own, row + mine, plane);
      for (int n = 0; n < config::subchunk; ++n) {
        const int s = Adjoint ? n : config::subchunk - 1 - n;
        if (Adjoint ? s < mine : s > mine || (BeforeGate && s == mine)) continue;
        if (Adjoint && !BeforeGate && s > mine)
          number = decayed(number_at<E>(gates, row + s, plane), number);
        score[s] = score[s] + real_part(number * number_at<E>(other, row + s, plane));
        if (!Adjoint || (BeforeGate && s > mine))
          number = decayed(number_at<E>(gates, row + s, plane), number);
      }
      put_number(own, row + mine, plane, number);
    }
    for (int s = 0; s < config::subchunk; ++s) {
      const C sum = score[s] + block.shuffle_xor(score[s], config::subchunk);
      if (lane < config::subchunk) scores[s * config::score_pitch + first + mine] = sum;
    }
  }

  /// Other numbers times the gates between them and the own tokens' side of their subchunk;
  /// `between` gets the products of whole subchunks. Imaginary parts change their sign, so that
  /// Re(own other) is a sum over rows.
  template <class Block, class Array>
  GATESCAN_HD static void decay_other(Block& block, const Array& other, const Array& gates,
                                      const Array& between) {
    for (int m = block.thread(); m < config::tokens / config::subchunk * config::keys;
         m += config::threads) {
      const int i = m % config::keys, b = m / config::keys, row = i * pitch + b * config::subchunk;
      E product = number_cast<E>(C(1));
      for (int n = 0; n < config::subchunk; ++n) {
        const int s = Adjoint ? n : config::subchunk - 1 - n;
        const E gate = number_at<E>(gates, row + s, plane);
        if (Adjoint && !BeforeGate) product = decayed(gate, product);
        put_number(other, row + s, plane, conj(number_at<E>(other, row + s, plane) * product));
        if (!Adjoint || BeforeGate) product = decayed(gate, product);
      }
      put_number(between, b * config::rows + i, config::keys, product);
    }
  }

  GATESCAN_HD static bool sees_subchunk(bool diagonal, int warp, int b) {
    return !diagonal || (Adjoint ? warp < b : warp > b);
  }

  /// Own tokens with the 16 of subchunk b: 0 for those that do not see them.
  template <class Block, class Array>
  GATESCAN_HD static void score_subchunk(Block& block, int keys, bool diagonal, int b,
                                         const Array& own, const Array& other,
                                         const Array& scores) {
    const int warp = block.thread() / warp_threads, lane = block.thread() % warp_threads;
    const int mine = warp * config::subchunk + lane % 8, theirs = b * config::subchunk + lane / 8;
    if constexpr (config::by_warps) {
      using products = typename config::template warp_products<config::subchunk>;
      products sum;
      if (sees_subchunk(diagonal, warp, b))
        for (int row = 0; row < config::rows; row += config::keys)
          sum.add(block, sums_by_warps<products>::whole_steps(keys),
                  own + (row * pitch + warp * config::subchunk), pitch,
                  other + (row * pitch + b * config::subchunk), pitch);
      for (int tile = 0; tile < config::subchunk / 8; ++tile)
        for (int i = 0; i < 4; ++i)
          scores[sum.column(lane, tile, i) * config::score_pitch + warp * config::subchunk +
                 sum.row(lane, i)] = sum.sum[tile][i];
    } else {
      C sum[2][4] = {};
      if (sees_subchunk(diagonal, warp, b)) {
        for (int n = 0; n < config::planes * keys; ++n) {
          const int row = n < keys ? n : n - keys + config::keys;
          C x[2], y[4];
          for (int m = 0; m < 2; ++m) x[m] = own[row * pitch + mine + 8 * m];
          for (int s = 0; s < 4; ++s) y[s] = other[row * pitch + theirs + 4 * s];
          for (int m = 0; m < 2; ++m)
            for (int s = 0; s < 4; ++s) sum[m][s] = fma(x[m], y[s], sum[m][s]);
        }
      }
      for (int m = 0; m < 2; ++m)
        for (int n = 0; n < 4; ++n)
          scores[(lane / 8 + 4 * n) * config::score_pitch + mine + 8 * m] = sum[m][n];
    }
  }
  /// Own numbers of those that see subchunk b, times its product.
  template <class Block, class Array>
  GATESCAN_HD static void decay_own(Block& block, int keys, bool diagonal, int b, const Array& own,
                                    const Array& between) {
    const int warp = block.thread() / warp_threads, lane = block.thread() % warp_threads;
    if (!sees_subchunk(diagonal, warp, b)) return;
    for (int i = lane / config::subchunk; i < keys; i += 2) {
      const int at = i * pitch + warp * config::subchunk + lane % config::subchunk;
      const E product = number_at<E>(between, b * config::rows + i, config::keys);
      put_number(own, at, plane, decayed(product, number_at<E>(own, at, plane)));
    }
  }

 private:
  GATESCAN_HD static typename config::cursor cursor_at(const sizes& n, const token_range& tokens,
                                                       int t, index_t key) {
    return {0, tokens.clamped(t), 0, key < n.keys ? key : n.keys - 1, 0};
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
