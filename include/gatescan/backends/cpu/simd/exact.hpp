#pragma once
// Sums and products with their rounding error (Dekker, Numer. Math. 18, 1971; Knuth, TAOCP 4.2.2).

#include "pack.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class P>
struct with_error {
  P value, error;
};
template <class P>
GATESCAN_INLINE with_error<P> exact_product(P a, P b) {
  const P p = a * b;
  return {p, fma(a, b, -p)};
}
template <class P>
GATESCAN_INLINE with_error<P> exact_sum(P a, P b) {
  const P s = a + b, b_part = s - a;
  return {s, (a - (s - b_part)) + (b - b_part)};
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
