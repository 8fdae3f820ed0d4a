#pragma once
// Operands whose neighbouring values lie side by side, said so that the compiler knows: whole
// registers are then moved without a look at strides and counts.

#include "../../../core/operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

constexpr bool has_values(const axes& a) { return a.has(axis::value) || a.has(axis::channel); }

template <class R, class Operands>
bool values_side_by_side(const Operands& x) {
  bool all = true;
  R::operands([&](const char*, const axes& a, presence,
                  const auto& o) { all = all && (!o.given || !has_values(a) || o.value == 1); },
              x);
  return all;
}
/// Where there may be one value for all, or none came, only the operand knows.
template <class R, class Operands>
GATESCAN_INLINE Operands with_values_side_by_side(Operands x) {
  R::operands(
      [](const char*, const axes& a, presence need, auto& o) {
        if (!a.has(axis::value_or_one))
          o.value = has_values(a) && (need == presence::required || o.given) ? 1 : 0;
      },
      x);
  return x;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
