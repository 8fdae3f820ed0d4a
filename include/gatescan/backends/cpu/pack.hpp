#pragma once
// The one place that knows how a SIMD register is spelled: the compiler's vector extensions at the
// target's width.

#include <cstdint>
#include <type_traits>

#if defined(__FMA__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "../../core/complex.hpp"
#include "../../core/scalar.hpp"
#include "../../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {

#if defined(__AVX512F__)
inline constexpr int register_bytes = 64;
inline constexpr int register_count = 32;
#elif defined(__AVX__)
inline constexpr int register_bytes = 32;
inline constexpr int register_count = 16;
#else
inline constexpr int register_bytes = 16;
inline constexpr int register_count = 16;
#endif

template <class T>
inline constexpr int lanes = register_bytes / static_cast<int>(sizeof(T));

template <class T>
struct pack {
  using integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef T native __attribute__((vector_size(register_bytes)));
  typedef integer native_integer __attribute__((vector_size(register_bytes)));
  typedef T unaligned __attribute__((vector_size(register_bytes), aligned(sizeof(T)), may_alias));

  native v;

  pack() = default;
  GATESCAN_INLINE pack(native x) : v(x) {}
  // x - 0 is x for every x, -0 included; x + 0 is not
  template <class Number>
  requires std::is_arithmetic_v<Number> GATESCAN_INLINE explicit pack(Number x)
      : v(static_cast<T>(x) - native{}) {}

  friend GATESCAN_INLINE pack operator+(pack a, pack b) { return a.v + b.v; }
  friend GATESCAN_INLINE pack operator-(pack a, pack b) { return a.v - b.v; }
  friend GATESCAN_INLINE pack operator*(pack a, pack b) { return a.v * b.v; }
  friend GATESCAN_INLINE pack operator/(pack a, pack b) { return a.v / b.v; }
  friend GATESCAN_INLINE pack operator-(pack a) { return -a.v; }
};

// Whole registers at any address. Through memcpy gcc 12 moves half a register at a time, and the
// next load of the whole one waits: 5 times slower.
template <class T>
GATESCAN_INLINE pack<T> load(const T* p) {
  return {*reinterpret_cast<const typename pack<T>::unaligned*>(p)};
}
template <class T>
GATESCAN_INLINE void store(T* p, pack<T> x) {
  *reinterpret_cast<typename pack<T>::unaligned*>(p) = x.v;
}

namespace detail {

// Everything but whole registers of T: out of line, since recurrences read operands in many places.
template <class T, class S>
__attribute__((noinline)) pack<T> load_other(const S* p, index_t stride, int n) {
  alignas(register_bytes) T x[lanes<T>] = {};
  if (stride == 1 && n == lanes<T>) {  // of fixed length: compilers make vector conversions of it
    for (int i = 0; i < lanes<T>; ++i) x[i] = convert<T>(p[i]);
  } else {
    for (int i = 0; i < n; ++i) x[i] = convert<T>(p[i * stride]);
  }
  return load(x);
}
template <class T, class S>
__attribute__((noinline)) void store_other(S* p, index_t stride, int n, pack<T> value) {
  alignas(register_bytes) T x[lanes<T>];
  store(x, value);
  if (stride == 1 && n == lanes<T>) {
    for (int i = 0; i < lanes<T>; ++i) p[i] = convert<S>(x[i]);
  } else {
    for (int i = 0; i < n; ++i) p[i * stride] = convert<S>(x[i]);
  }
}
template <class T>
__attribute__((noinline)) pack<T> first_lanes_of(pack<T> x, int n, pack<T> other) {
  alignas(register_bytes) T a[lanes<T>], b[lanes<T>];
  store(a, x);
  store(b, other);
  for (int i = n; i < lanes<T>; ++i) a[i] = b[i];
  return load(a);
}

}  // namespace detail

/// The first n lanes of memory of any storage type and stride; the others are zero.
template <class T, class S>
GATESCAN_INLINE pack<T> load(const S* p, index_t stride, int n) {
  if constexpr (std::is_same_v<T, S>) {
    if (n == lanes<T> && stride == 1) return load(p);
    if (n == lanes<T> && stride == 0) return pack<T>(*p);
  }
  return detail::load_other<T>(p, stride, n);
}
template <class T, class S>
GATESCAN_INLINE void store(S* p, index_t stride, int n, pack<T> value) {
  if constexpr (std::is_same_v<T, S>) {
    if (n == lanes<T> && stride == 1) return store(p, value);
  }
  detail::store_other(p, stride, n, value);
}

#if defined(__AVX512F__)
GATESCAN_INLINE pack<float> fma(pack<float> a, pack<float> b, pack<float> c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
GATESCAN_INLINE pack<double> fma(pack<double> a, pack<double> b, pack<double> c) {
  return {_mm512_fmadd_pd(a.v, b.v, c.v)};
}
#elif defined(__FMA__)
GATESCAN_INLINE pack<float> fma(pack<float> a, pack<float> b, pack<float> c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
GATESCAN_INLINE pack<double> fma(pack<double> a, pack<double> b, pack<double> c) {
  return {_mm256_fmadd_pd(a.v, b.v, c.v)};
}
#else
template <class T>
GATESCAN_INLINE pack<T> fma(pack<T> a, pack<T> b, pack<T> c) {
  return a * b + c;
}
#endif

template <class T>
GATESCAN_INLINE pack<T> larger(pack<T> a, pack<T> b) {
  return a.v < b.v ? b.v : a.v;
}
template <class T>
GATESCAN_INLINE pack<T> abs(pack<T> a) {
  return a.v < 0 ? -a.v : a.v;
}
template <class T>
GATESCAN_INLINE pack<T> select_negative(pack<T> x, pack<T> if_negative, pack<T> otherwise) {
  return x.v < 0 ? if_negative.v : otherwise.v;
}
template <class T>
GATESCAN_INLINE pack<T> unless_zero(pack<T> gate, pack<T> x) {
  return gate.v == 0 ? typename pack<T>::native{} : x.v;
}
/// The first n lanes of x, and `other` in the rest.
template <class T>
GATESCAN_INLINE pack<T> first_lanes(pack<T> x, int n, pack<T> other) {
  return n == lanes<T> ? x : detail::first_lanes_of(x, n, other);
}
template <class T>
GATESCAN_INLINE T sum(pack<T> x) {
  alignas(register_bytes) T a[lanes<T>];
  store(a, x);
  for (int n = lanes<T> / 2; n >= 1; n /= 2)
    for (int i = 0; i < n; ++i) a[i] += a[i + n];
  return a[0];
}

template <class T>
GATESCAN_INLINE pack<T> real_part(pack<T> x) {
  return x;
}
template <class T>
GATESCAN_INLINE pack<T> conj(pack<T> x) {
  return x;
}

}  // namespace simd
}  // namespace GATESCAN_ABI
}  // namespace gatescan
