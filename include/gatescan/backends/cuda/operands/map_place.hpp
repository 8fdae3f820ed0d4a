#pragma once
// Where the numbers of an attention map go.

#include <type_traits>

#include "../../../core/scalar.hpp"
#include "../../../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// A real number of a map, which may be complex.
template <class Map, class C>
GATESCAN_HD void put_real(const Map& map, index_t at, C x) {
  if constexpr (requires { map.im; }) {
    map.re[at] = convert<std::remove_reference_t<decltype(*map.re)>>(x);
    if (map.im != nullptr) map.im[at] = convert<std::remove_reference_t<decltype(*map.im)>>(C(0));
  } else {
    map.data[at] = convert<std::remove_reference_t<decltype(*map.data)>>(x);
  }
}

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
