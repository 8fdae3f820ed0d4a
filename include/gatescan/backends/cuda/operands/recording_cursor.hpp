#pragma once
// A cursor with which adjoints are called on the host to see which operands they add to:
// recurrences do not say. Numbers do not decide that (there is no `if` on one), switches and the
// operands given do.

#include "cursor.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

enum class side { keys, values };

struct adds_to {
  mutable bool keys = false, values = false;
};

template <class C, bool IsComplex>
struct recording_cursor {
  using register_type = C;
  using element_t = number_t<C, IsComplex>;
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
  GATESCAN_HD void add(const adds_to& d, G) const {
    (from == side::keys ? d.keys : d.values) = true;
  }
  template <class F>
  GATESCAN_HD C sum_over_keys(F&& f) const {
    return f(*this);
  }
  template <class F>
  GATESCAN_HD void for_each_key(F&& f) const {
    f(*this);
  }
  GATESCAN_HD C total(C x) const { return x; }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
