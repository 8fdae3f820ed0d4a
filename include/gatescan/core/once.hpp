#pragma once
// What a recurrence makes of a parameter, which is the same at every token.

#include "macros.hpp"
#include "view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// f(at(x)) of a real operand x in a member of a recurrence without keys. Kernels that take tokens
/// one after another may make it once a channel where x has no time: softplus of a parameter costs
/// more than all else. Slot: 0 or 1, of its own for every f of a recurrence.
template <index_t Slot, class At, class X, class F>
GATESCAN_HD GATESCAN_INLINE auto once(const At& at, const X& x, const F& f) {
  if constexpr (requires { at.template once<Slot>(x, f); })
    return at.template once<Slot>(x, f);
  else
    return f(at(x));
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
