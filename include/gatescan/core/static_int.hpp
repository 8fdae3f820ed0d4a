#pragma once
// A chunk size known at compile time: chunked{gatescan::c<64>}.

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

template <int N>
struct static_int {
  static constexpr int value = N;
  GATESCAN_UNLINKED constexpr operator int() const { return N; }
};
template <int N>
inline constexpr static_int<N> c{};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
