#pragma once
// Division and rounding of counts.

#include <cstdint>

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// How many pieces of `step` hold n.
GATESCAN_HD constexpr std::int64_t ceil_divide(std::int64_t n, std::int64_t step) {
  return (n + step - 1) / step;
}
/// The smallest multiple of `step` that is not below n.
GATESCAN_HD constexpr std::int64_t round_up(std::int64_t n, std::int64_t step) {
  return ceil_divide(n, step) * step;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
