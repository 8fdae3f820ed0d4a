#pragma once
// Sums and products with their rounding error, of numbers or registers of them (Dekker, Numer.
// Math. 18, 1971; Knuth, TAOCP 4.2.2).

#include "complex.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class P>
struct with_error {
  P value, error;
};
/// a b = value + error, exactly
template <class P>
GATESCAN_HD GATESCAN_INLINE with_error<P> exact_product(P a, P b) {
  const P p = a * b;
  return {p, fma(a, b, -p)};
}
/// a + b = value + error, exactly
template <class P>
GATESCAN_HD GATESCAN_INLINE with_error<P> exact_sum(P a, P b) {
  const P s = a + b, b_part = s - a;
  return {s, (a - (s - b_part)) + (b - b_part)};
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
