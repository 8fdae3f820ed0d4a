#pragma once
// mdspan as a view, without a copy and without including it: std::mdspan, Kokkos', cuda::std's.

#include <type_traits>

#include "../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// A strided mdspan of rank 1 to 5 as a view of the same extents. Elements may be const.
template <class M>
auto from_mdspan(const M& m) {
  static_assert(M::rank() >= 1 && M::rank() <= max_rank, "gatescan: views have rank 1 to 5");
  view<typename M::element_type> x;
  x.data = m.data_handle();
  x.rank = static_cast<int>(M::rank());
  for (int i = 0; i < x.rank; ++i) {
    const auto r = static_cast<typename M::rank_type>(i);
    x.shape[i] = static_cast<index_t>(m.extent(r));
    x.stride[i] = static_cast<index_t>(m.stride(r));
  }
  return x;
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
