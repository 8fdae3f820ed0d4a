#pragma once
// Which operands of a matrix state the value side's adjoints add to, and which the key side's.

#include "../operands/recording_cursor.hpp"
#include "tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// A plan knows shapes only: there all operands are taken to be given.
template <class R, class T>
auto sides_that_add(const problem_of<R, T>& p) {
  using C = state_t<T>;
  using config = tile_config<R, T>;
  using recorder = recording_cursor<C, config::complex>;
  auto x = p.x;
  bool any = false;
  R::operands([&](const char*, const axes&, presence, const auto& o) { any = any || o.given; }, x);
  R::operands([&](const char*, const axes&, presence, auto& o) { o.given = o.given || !any; }, x);
  typename R::template fields<adds_to> notes{};
  const recorder at_keys{side::keys}, at_values{side::values};
  R::keys_adjoint(x, notes, at_keys, keys_of<typename config::E>{});
  const auto w = R::values(x, at_values);
  std::remove_const_t<decltype(w)> d_w{};
  R::output_adjoint(x, notes, at_values, w, d_w, C(0), C(0));
  R::values_adjoint(x, notes, at_values, w, d_w);
  return notes;
}

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
