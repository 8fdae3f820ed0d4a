#pragma once
// A place at which adjoints are called on the host to see which operands they add to: recurrences
// do not say. Numbers do not decide that (there is no `if` on one), switches and the operands given
// do.

#include "place.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

enum class side { keys, values };

struct side_notes {
  mutable bool keys = false, values = false;
};

template <class C, bool IsComplex>
struct noting_place {
  using element_t = typename element_type<C, IsComplex>::type;
  side from;

  template <class S>
  GATESCAN_HD C operator()(const operand<S>&) const {
    return C(1);
  }
  template <class S>
  GATESCAN_HD element_t element(const operand<S>&) const {
    if constexpr (IsComplex)
      return {C(1), C(0)};
    else
      return C(1);
  }
  template <class G>
  GATESCAN_HD void add(const side_notes& d, G) const {
    (from == side::keys ? d.keys : d.values) = true;
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
