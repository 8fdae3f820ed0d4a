#pragma once
// A chunk size known at compile time: chunked{gatescan::c<64>}.

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

template <int N>
struct static_int {
  static constexpr int value = N;
  constexpr operator int() const { return N; }
};
template <int N>
inline constexpr static_int<N> c{};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
