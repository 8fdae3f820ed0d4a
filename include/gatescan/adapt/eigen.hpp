#pragma once
// Eigen matrices as views, without a copy and without including Eigen: anything with rows(),
// cols(), data() and strides.

#include <string>
#include <type_traits>

#include "../core/error.hpp"
#include "../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class M>
view<std::remove_pointer_t<decltype(std::declval<M&>().data())>> matrix_view(M& m, index_t heads,
                                                                             bool rows_are_time) {
  const index_t rows = static_cast<index_t>(m.rows()), cols = static_cast<index_t>(m.cols());
  const index_t row = static_cast<index_t>(m.rowStride()),
                col = static_cast<index_t>(m.colStride());
  const index_t time = rows_are_time ? rows : cols, features = rows_are_time ? cols : rows;
  if (heads < 1 || features % heads != 0)
    fail<shape_error>("heads: expected a divisor of " + std::to_string(features) +
                      " features, got " + std::to_string(heads));
  const index_t t = rows_are_time ? row : col, f = rows_are_time ? col : row,
                width = features / heads;
  return {m.data(), {1, time, heads, width}, {time * t, t, width * f, f}};
}

}  // namespace detail

/// A matrix whose row t is token t and whose columns are heads x features, as [1, L, H, features].
/// Row- or column-major, Map and Block included; read-only if the matrix is const.
template <class M>
auto rows_are_time(M&& m, index_t heads = 1) {
  return detail::matrix_view(m, heads, true);
}
/// The same for one token a column.
template <class M>
auto cols_are_time(M&& m, index_t heads = 1) {
  return detail::matrix_view(m, heads, false);
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
