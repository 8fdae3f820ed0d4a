#pragma once
// The sums o of split_scan and head_scan in registers, a warp's 16 own tokens and all values, and
// products of scores with values or of own numbers with states.

#include "split_tile.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, bool Adjoint, class Block>
class split_sums : public split_tile<R, T, Adjoint, Block> {
  using base = split_tile<R, T, Adjoint, Block>;

 public:
  using base::split_tile;

  /// f(token, value, sum)
  template <class F>
  GATESCAN_HD void for_each(const F& f) const {
    unrolled<groups>([&](int g) {
      for (int tile = 0; tile < 2; ++tile)
        for (int i = 0; i < 4; ++i)
          f(warp_ * subchunk + lane_ / 4 + i / 2 * 8, g * 16 + tile * 8 + lane_ % 4 * 2 + i % 2,
            sum_[g][tile][i]);
    });
  }

 protected:
  using base::block_, base::warp_, base::lane_, base::wide_;
  using base::subchunk, base::subchunks, base::values, base::shape;
  static constexpr int groups = values / 16;

  // the n-th subchunk that own tokens of some warp go past, from them on
  GATESCAN_HD static int subchunk_at(int n) { return Adjoint ? n + 1 : subchunks - 2 - n; }
  GATESCAN_HD bool sees(int b) const {
    return b * subchunk < shape().count && (Adjoint ? warp_ < b : warp_ > b);
  }

  // scores are sums of the layout that the next product has its a in
  GATESCAN_HD split_fragment fragment_of(const float (&scores)[2][4]) const {
    split_fragment a;
    for (int n = 0; n < 4; ++n)
      a.put(n, split(block_, scores[n / 2][n % 2 * 2], scores[n / 2][n % 2 * 2 + 1]));
    return a;
  }
  // += a times 16 rows of values
  GATESCAN_HD void add_values(const split_fragment& a, int row) {
    const auto from = this->value_rows();
    const int there = shape().values;
    unrolled<groups>([&](int g) {
      if (g * 16 < there) add_product(block_, sum_[g], a, from.columns(block_, row, g * 16));
    });
  }
  // += a times 16 rows of states: what a matrix unit loses when it adds them is less than what two
  // parts leave out
  GATESCAN_HD void add_states(const split_fragment& a, int row) {
    const int there = shape().values;
    unrolled<groups>([&](int g) {
      if (g * 16 < there) add_truncated(block_, sum_[g], a, wide_.columns(block_, row, g * 16));
    });
  }

  registers<float[2][4], groups> sum_ = {};
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
