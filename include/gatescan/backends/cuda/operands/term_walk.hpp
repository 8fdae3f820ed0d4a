#pragma once
// The terms of a sum over some axes of an array, taken in equal steps without a division a term.

#include <cstddef>

#include "../../../core/operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// Axes of an array, the first the fastest.
template <std::size_t Axes>
struct term_axes {
  index_t extent[Axes], stride[Axes];

  GATESCAN_HD index_t size() const {
    index_t n = 1;
    for (std::size_t i = 0; i < Axes; ++i) n *= extent[i];
    return n;
  }
};

/// Terms first, first + by, first + 2 by, ... of an array that is not empty: `offset()` is the
/// current one's. The digits of `by` in these extents are added to the digits of the place, with
/// carries; the last axis has no end, the caller counts.
template <std::size_t Axes>
class term_walk {
 public:
  GATESCAN_HD term_walk(const term_axes<Axes>& x, index_t first, index_t by) : axes_(x) {
    for (std::size_t i = 0; i < Axes; ++i) {
      const bool last = i == Axes - 1;
      digit_[i] = last ? first : first % x.extent[i];
      step_[i] = last ? by : by % x.extent[i];
      first /= x.extent[i], by /= x.extent[i];
    }
  }
  GATESCAN_HD index_t offset() const {
    index_t o = 0;
    for (std::size_t i = 0; i < Axes; ++i) o += digit_[i] * axes_.stride[i];
    return o;
  }
  GATESCAN_HD void advance() {
    index_t carry = 0;
    for (std::size_t i = 0; i < Axes; ++i) {
      digit_[i] += step_[i] + carry;
      carry = i < Axes - 1 && digit_[i] >= axes_.extent[i];
      digit_[i] -= carry ? axes_.extent[i] : 0;
    }
  }

 private:
  const term_axes<Axes>& axes_;
  index_t digit_[Axes], step_[Axes];
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
