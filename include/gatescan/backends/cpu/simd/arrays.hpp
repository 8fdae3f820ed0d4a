#pragma once
// What all CPU kernels share: elements that may be complex, and loops over plain arrays.

#include <cstdint>
#include <type_traits>

#include "../../../core/integers.hpp"
#include "../tuning.hpp"
#include "lanes.hpp"
#include "math.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Tokens that are worked on as one block of surrogate attention.
inline constexpr int subchunk_tokens = tuning.subchunk_tokens;

/// Results and gradients of so many numbers go past the caches where they can.
template <class C>
constexpr bool exceeds_caches(index_t numbers) {
  return numbers * static_cast<index_t>(sizeof(C)) > tuning.cache_bytes;
}
template <class T>
bool is_aligned(const T* p, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}

/// A copy for as long as a kernel runs. For all that the compiler knows, a register may be stored
/// anywhere: what is read through `this` or a reference would be loaded again after every store.
/// What only the kernel can see stays in registers.
template <class X>
GATESCAN_INLINE X held(const X& x) {
  return x;
}

template <class C>
constexpr index_t padded(index_t n) {
  return round_up(n, simd::lanes<C>);
}

template <class T>
struct is_complex : std::false_type {};
template <class R>
struct is_complex<cplx<R>> : std::true_type {};

template <class C, bool IsComplex>
using element_t = std::conditional_t<IsComplex, cplx<simd::pack<C>>, simd::pack<C>>;

template <bool IsComplex, class C>
GATESCAN_INLINE element_t<C, IsComplex> constant(C x) {
  if constexpr (IsComplex)
    return {simd::pack<C>(x), simd::pack<C>(0)};
  else
    return simd::pack<C>(x);
}

// The same real number everywhere, in a register or four, of real or complex numbers.
template <class E, class C>
GATESCAN_INLINE E constant_of(C x) {
  if constexpr (is_complex<E>::value) {
    using R = decltype(E::re);
    return {R(x), R(0)};
  } else {
    return E(x);
  }
}

// True when every number is finite: x * 0 is 0 for those and NaN for the others.
template <class C>
bool all_finite(const C* x, index_t rows, index_t columns, index_t pitch) {
  using P = simd::pack<C>;
  constexpr index_t width = simd::lanes<C>;
  P sums[4] = {P(0), P(0), P(0), P(0)};  // additions wait for each other
  for (index_t i = 0; i < rows; ++i) {
    const C* row = x + i * pitch;
    index_t j = 0;
    for (; j + 4 * width <= columns; j += 4 * width)
#pragma GCC unroll 4
      for (index_t s = 0; s < 4; ++s)
        sums[s] = simd::fma(simd::load(row + j + s * width), P(0), sums[s]);
    for (; j < columns; j += width) sums[0] = simd::fma(simd::load(row + j), P(0), sums[0]);
  }
  return simd::sum((sums[0] + sums[1]) + (sums[2] + sums[3])) == C(0);
}
// Where x is not finite, take y.
template <class C>
void replace_non_finite(C* x, const C* y, index_t count) {
  for (index_t i = 0; i < count; ++i)
    if (!(x[i] * C(0) == C(0))) x[i] = y[i];
}

template <class C>
void copy_numbers(C* to, const C* from, index_t count) {
  for (index_t i = 0; i < count; ++i) to[i] = from[i];
}

// Numbers `step` apart.
template <class C, class S>
void copy_numbers(C* to, index_t to_step, const S* from, index_t step, index_t count) {
  if (to_step == 1 && step == 1)
    for (index_t i = 0; i < count; ++i) to[i] = convert<C>(from[i]);
  else
    for (index_t i = 0; i < count; ++i) to[i * to_step] = convert<C>(from[i * step]);
}

template <class C>
void fill(C* x, index_t count, C value) {
  for (index_t i = 0; i < count; ++i) x[i] = value;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
