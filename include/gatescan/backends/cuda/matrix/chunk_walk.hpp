#pragma once
// How a tile of 64 tokens meets other tokens: the steps of matrix_outputs on one tile of keys.
// Arrays are [row][token], complex numbers two rows. Threads of a warp have 16 of the tile's
// tokens.

#include "tile.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool Adjoint>
struct chunk_walk {
  using kit = matrix_types<R, T>;
  using C = typename kit::C;
  using E = typename kit::E;
  // `keys`: those of the tile that are there
  static constexpr int pitch = kit::tokens + 1, plane = kit::keys * pitch;

  /// own = q (backward k), 0 outside
  template <class Block, class Array>
  GATESCAN_HD static void load_own(Block& block, const typename kit::fields& x, const sizes& n,
                                   const token_range& tokens, index_t first_key, const Array& own) {
    for (int m = block.thread(); m < kit::tokens * kit::keys; m += kit::threads) {
      const int t = m / kit::keys, i = m % kit::keys;
      E number{};
      if (t < tokens.count() && first_key + i < n.keys) {
        const auto token = R::keys(x, typename kit::at{0, tokens.first + t, 0, first_key + i, 0});
        number = Adjoint ? token.k : token.q;
      }
      put_number(own, i * pitch + t, plane, number);
    }
  }
  /// other = k (backward q) and gates; 0 and 1 outside
  template <class Block, class Array>
  GATESCAN_HD static void load_other(Block& block, const typename kit::fields& x, const sizes& n,
                                     const token_range& tokens, index_t first_key,
                                     const Array& other, const Array& gates) {
    for (int m = block.thread(); m < kit::tokens * kit::keys; m += kit::threads) {
      const int t = m / kit::keys, i = m % kit::keys;
      E number{}, gate = real_number<E>(C(1));
      if (t < tokens.count() && first_key + i < n.keys) {
        const auto token = R::keys(x, typename kit::at{0, tokens.first + t, 0, first_key + i, 0});
        number = Adjoint ? token.q : token.k, gate = token.gate;
      }
      put_number(other, i * pitch + t, plane, number);
      put_number(gates, i * pitch + t, plane, gate);
    }
  }

  /// Pairs inside blocks of 16: scores[other token of the block][own token]. Own numbers are
  /// multiplied by the gates up to the end of their block.
  template <class Block, class Array>
  GATESCAN_HD static void meet_in_blocks(Block& block, int keys, const Array& own,
                                         const Array& other, const Array& gates,
                                         const Array& scores) {
    const int lane = block.thread() % warp_threads, mine = lane % kit::sub,
              first = block.thread() / warp_threads * kit::sub;
    C score[kit::sub] = {};
    for (int i = lane / kit::sub; i < keys; i += 2) {
      const int row = i * pitch + first;
      E number = number_at<E>(own, row + mine, plane);
      for (int n = 0; n < kit::sub; ++n) {
        const int s = Adjoint ? n : kit::sub - 1 - n;
        if (Adjoint ? s < mine : s > mine) continue;
        if (Adjoint && s > mine) number = decayed(number_at<E>(gates, row + s, plane), number);
        score[s] = score[s] + real_part(number * number_at<E>(other, row + s, plane));
        if (!Adjoint) number = decayed(number_at<E>(gates, row + s, plane), number);
      }
      put_number(own, row + mine, plane, number);
    }
    for (int s = 0; s < kit::sub; ++s) {
      const C sum = score[s] + block.shuffle_xor(score[s], kit::sub);
      if (lane < kit::sub) scores[s * kit::score_pitch + first + mine] = sum;
    }
  }

  /// Other numbers times the gates between them and the own tokens' side of their block; `between`
  /// gets whole blocks' products. Imaginary parts change their sign, so that Re(own other) is a sum
  /// over rows.
  template <class Block, class Array>
  GATESCAN_HD static void decay_other(Block& block, const Array& other, const Array& gates,
                                      const Array& between) {
    for (int m = block.thread(); m < kit::tokens / kit::sub * kit::keys; m += kit::threads) {
      const int i = m % kit::keys, b = m / kit::keys, row = i * pitch + b * kit::sub;
      E product = real_number<E>(C(1));
      for (int n = 0; n < kit::sub; ++n) {
        const int s = Adjoint ? n : kit::sub - 1 - n;
        const E gate = number_at<E>(gates, row + s, plane);
        if (Adjoint) product = decayed(gate, product);
        put_number(other, row + s, plane, conj(number_at<E>(other, row + s, plane) * product));
        if (!Adjoint) product = decayed(gate, product);
      }
      put_number(between, b * kit::rows + i, kit::keys, product);
    }
  }

  GATESCAN_HD static bool walks_past(bool diagonal, int warp, int b) {
    return !diagonal || (Adjoint ? warp < b : warp > b);
  }

  /// Own tokens with the 16 of block b: scores as above, 0 for own tokens that do not see them.
  template <class Block, class Array>
  GATESCAN_HD static void meet(Block& block, int keys, bool diagonal, int b, const Array& own,
                               const Array& other, const Array& scores) {
    const int warp = block.thread() / warp_threads, lane = block.thread() % warp_threads;
    const int mine = warp * kit::sub + lane % 8, theirs = b * kit::sub + lane / 8;
    if constexpr (kit::by_warps) {
      using products = typename kit::template warp_products<kit::sub>;
      products sum;
      if (walks_past(diagonal, warp, b))
        for (int row = 0; row < kit::rows; row += kit::keys)
          sum.add(block, sums_by_warps<products>::whole_steps(keys),
                  own + (row * pitch + warp * kit::sub), pitch,
                  other + (row * pitch + b * kit::sub), pitch);
      for (int tile = 0; tile < kit::sub / 8; ++tile)
        for (int i = 0; i < 4; ++i)
          scores[sum.column(lane, tile, i) * kit::score_pitch + warp * kit::sub +
                 sum.row(lane, i)] = sum.sum[tile][i];
    } else {
      C sum[2][4] = {};
      if (walks_past(diagonal, warp, b)) {
        for (int n = 0; n < kit::planes * keys; ++n) {
          const int row = n < keys ? n : n - keys + kit::keys;
          C x[2], y[4];
          for (int m = 0; m < 2; ++m) x[m] = own[row * pitch + mine + 8 * m];
          for (int s = 0; s < 4; ++s) y[s] = other[row * pitch + theirs + 4 * s];
          for (int m = 0; m < 2; ++m)
            for (int s = 0; s < 4; ++s) sum[m][s] = fma(x[m], y[s], sum[m][s]);
        }
      }
      for (int m = 0; m < 2; ++m)
        for (int n = 0; n < 4; ++n)
          scores[(lane / 8 + 4 * n) * kit::score_pitch + mine + 8 * m] = sum[m][n];
    }
  }
  /// Own numbers of those that have met block b, times its product.
  template <class Block, class Array>
  GATESCAN_HD static void move_on(Block& block, int keys, bool diagonal, int b, const Array& own,
                                  const Array& between) {
    const int warp = block.thread() / warp_threads, lane = block.thread() % warp_threads;
    if (!walks_past(diagonal, warp, b)) return;
    for (int i = lane / kit::sub; i < keys; i += 2) {
      const int at = i * pitch + warp * kit::sub + lane % kit::sub;
      const E product = number_at<E>(between, b * kit::rows + i, kit::keys);
      put_number(own, at, plane, decayed(product, number_at<E>(own, at, plane)));
    }
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
