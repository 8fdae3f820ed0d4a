#pragma once
// What a lane has of a token where operands have 16 bits: two neighbouring keys, or a complex one.

#include "../numbers.hpp"
#include "../toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class E>
struct lane_keys {
  static constexpr bool complex = requires(E e) { e.im; };
  static constexpr int count = complex ? 1 : 2;
  registers<E, count> of;

  GATESCAN_HD static lane_keys of_pair(float_pair x) {
    if constexpr (complex)
      return {{{x.first, x.second}}};
    else
      return {{x.first, x.second}};
  }
  GATESCAN_HD float_pair pair() const {
    if constexpr (complex)
      return {of[0].re, of[0].im};
    else
      return {of[0], of[1]};
  }
  GATESCAN_HD static lane_keys all(E x) {
    lane_keys r;
    unrolled<count>([&](int k) { r.of[k] = x; });
    return r;
  }
  GATESCAN_HD friend lane_keys operator*(const lane_keys& x, const lane_keys& y) {
    lane_keys r;
    unrolled<count>([&](int k) { r.of[k] = x.of[k] * y.of[k]; });
    return r;
  }
  GATESCAN_HD friend lane_keys operator+(const lane_keys& x, const lane_keys& y) {
    lane_keys r;
    unrolled<count>([&](int k) { r.of[k] = x.of[k] + y.of[k]; });
    return r;
  }
  GATESCAN_HD friend lane_keys decayed(const lane_keys& gate, const lane_keys& x) {
    lane_keys r;
    unrolled<count>([&](int k) { r.of[k] = gpu::decayed(gate.of[k], x.of[k]); });
    return r;
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
