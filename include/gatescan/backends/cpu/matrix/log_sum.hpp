#pragma once
// The sum of a chunk's log gates: registers of floats, added up in double.

#include "../simd/lanes.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

struct log_sum {
  simd::doubles value{};

  log_sum() = default;
  explicit log_sum(const double* from)
      : value{simd::load(from), simd::load(from + simd::lanes<double>)} {}

  GATESCAN_INLINE void add(simd::pack<float> x) {
    const simd::doubles more = simd::widen(x);
    value.first += more.first, value.second += more.second;
  }
  GATESCAN_INLINE void store(double* to) const {
    simd::store(to, value.first);
    simd::store(to + simd::lanes<double>, value.second);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
