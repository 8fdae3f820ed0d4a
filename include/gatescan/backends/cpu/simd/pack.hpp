#pragma once
// The one place that knows how a SIMD register is spelled: the compiler's vector extensions at the
// target's width.

#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "../../../core/complex.hpp"
#include "../../../core/scalar.hpp"
#include "../../../core/view.hpp"

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
  typedef std::make_unsigned_t<integer> native_bits __attribute__((vector_size(register_bytes)));
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
  friend GATESCAN_INLINE pack& operator+=(pack& a, pack b) { return a = a + b; }
  friend GATESCAN_INLINE pack& operator-=(pack& a, pack b) { return a = a - b; }
  friend GATESCAN_INLINE pack& operator*=(pack& a, pack b) { return a = a * b; }
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

/// Past the caches, to an address aligned to 16 bytes: for results that are not read again soon.
/// Other threads see them after `fence`.
inline constexpr std::uintptr_t stream_alignment = 16;
/// Registers as long as cache lines: streamed to a line's address they leave at once. Elsewhere, as
/// in a std::vector, they leave in parts, which still beats going through the caches (AVX-512: gla
/// with K = V = 128 7.5 ms for 7.8, backward of elementwise 19 for 25, of complex ones 42 for 54).
inline constexpr bool whole_lines = register_bytes == 64;
template <class T>
GATESCAN_INLINE void stream(T* to, pack<T> x) {
#if defined(__AVX512F__)
  if (reinterpret_cast<std::uintptr_t>(to) % register_bytes == 0)
    return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(x.v));
#endif
#if defined(__SSE2__)
  __m128i parts[sizeof x / 16];
  __builtin_memcpy(parts, &x, sizeof x);
#pragma GCC unroll 4
  for (std::size_t i = 0; i < sizeof x / 16; ++i)
    _mm_stream_si128(static_cast<__m128i*>(static_cast<void*>(to)) + i, parts[i]);
#else
  store(to, x);
#endif
}
inline void fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

namespace detail {

#if defined(__AVX512F__)
GATESCAN_INLINE __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
#elif defined(__AVX__)
template <class T>
GATESCAN_INLINE __m256i first(int n) {
  using integer = typename pack<T>::integer;
  static constexpr integer ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones_then_zeros + 8 - n));
}
#endif

#if defined(__AVX512F__)
GATESCAN_INLINE pack<float> first_lanes_of(pack<float> x, int n, pack<float> other) {
  return {_mm512_mask_mov_ps(other.v, first(n), x.v)};
}
GATESCAN_INLINE pack<double> first_lanes_of(pack<double> x, int n, pack<double> other) {
  return {_mm512_mask_mov_pd(other.v, static_cast<__mmask8>(first(n)), x.v)};
}
#else
template <class T>
__attribute__((noinline)) pack<T> first_lanes_of(pack<T> x, int n, pack<T> other) {
  alignas(register_bytes) T a[lanes<T>], b[lanes<T>];
  store(a, x);
  store(b, other);
  for (int i = n; i < lanes<T>; ++i) a[i] = b[i];
  return load(a);
}
#endif

}  // namespace detail

/// x, rounded: compilers may not make a multiply-add of the product x and a sum it goes into.
template <class T>
GATESCAN_INLINE pack<T> rounded(pack<T> x) {
#if defined(__AVX512F__)
  asm("" : "+v"(x.v));
#elif defined(__SSE2__)
  asm("" : "+x"(x.v));
#elif defined(__aarch64__)
  asm("" : "+w"(x.v));
#endif
  return x;
}

/// The first n numbers at p, and zeros; nothing else is read.
template <class T>
GATESCAN_INLINE pack<T> load_first(const T* p, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return {_mm512_maskz_loadu_ps(detail::first(n), p)};
  else
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(detail::first(n)), p)};
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 4)
    return {_mm256_maskload_ps(p, detail::first<T>(n))};
  else
    return {_mm256_maskload_pd(p, detail::first<T>(n))};
#else
  alignas(register_bytes) T x[lanes<T>] = {};
  for (int i = 0; i < n; ++i) x[i] = p[i];
  return load(x);
#endif
}
/// The first n lanes to p; nothing else is written.
template <class T>
GATESCAN_INLINE void store_first(T* p, int n, pack<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, detail::first(n), x.v);
  else
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(detail::first(n)), x.v);
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 4)
    _mm256_maskstore_ps(p, detail::first<T>(n), x.v);
  else
    _mm256_maskstore_pd(p, detail::first<T>(n), x.v);
#else
  alignas(register_bytes) T lanes_of_x[lanes<T>];
  store(lanes_of_x, x);
  for (int i = 0; i < n; ++i) p[i] = lanes_of_x[i];
#endif
}

#if defined(__AVX512F__)
GATESCAN_INLINE pack<float> fma(pack<float> a, pack<float> b, pack<float> c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
GATESCAN_INLINE pack<double> fma(pack<double> a, pack<double> b, pack<double> c) {
  return {_mm512_fmadd_pd(a.v, b.v, c.v)};
}
// -a given to fma would be made first: compilers do not fold it in.
GATESCAN_INLINE pack<float> fnma(pack<float> a, pack<float> b, pack<float> c) {
  return {_mm512_fnmadd_ps(a.v, b.v, c.v)};
}
GATESCAN_INLINE pack<double> fnma(pack<double> a, pack<double> b, pack<double> c) {
  return {_mm512_fnmadd_pd(a.v, b.v, c.v)};
}
#elif defined(__FMA__)
GATESCAN_INLINE pack<float> fma(pack<float> a, pack<float> b, pack<float> c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
GATESCAN_INLINE pack<double> fma(pack<double> a, pack<double> b, pack<double> c) {
  return {_mm256_fmadd_pd(a.v, b.v, c.v)};
}
GATESCAN_INLINE pack<float> fnma(pack<float> a, pack<float> b, pack<float> c) {
  return {_mm256_fnmadd_ps(a.v, b.v, c.v)};
}
GATESCAN_INLINE pack<double> fnma(pack<double> a, pack<double> b, pack<double> c) {
  return {_mm256_fnmadd_pd(a.v, b.v, c.v)};
}
#else
template <class T>
GATESCAN_INLINE pack<T> fma(pack<T> a, pack<T> b, pack<T> c) {
  return a * b + c;
}
template <class T>
GATESCAN_INLINE pack<T> fnma(pack<T> a, pack<T> b, pack<T> c) {
  return c - a * b;
}
#endif

template <class T>
GATESCAN_INLINE pack<T> larger(pack<T> a, pack<T> b) {
  return a.v < b.v ? b.v : a.v;
}
/// 1 / x to the last bit or so; NaN where x is 0 or infinite.
template <class T>
GATESCAN_INLINE pack<T> reciprocal(pack<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {  // a division of 16 floats is ten times as long
    const __m512 y = _mm512_maskz_rcp14_ps(0xffff, x.v);
    return {_mm512_fmadd_ps(y, _mm512_fnmadd_ps(x.v, y, _mm512_set1_ps(1)), y)};
  }
#endif
  return pack<T>(1) / x;
}
/// 1 / x where the caller mends what is missing: floats have 14 bits where a division takes long.
template <class T>
GATESCAN_INLINE pack<T> rough_inverse(pack<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return {_mm512_maskz_rcp14_ps(0xffff, x.v)};
#endif
  return pack<T>(1) / x;
}
template <class T>
GATESCAN_INLINE pack<T> abs(pack<T> a) {
  using integers = typename pack<T>::native_integer;
  constexpr auto magnitude = (std::numeric_limits<typename pack<T>::integer>::max)();
  return {reinterpret_cast<typename pack<T>::native>(reinterpret_cast<integers>(a.v) & magnitude)};
}
namespace detail {
// whether any of the lanes is true
template <class Lanes>
GATESCAN_INLINE bool any_lane(Lanes outside) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask(reinterpret_cast<__m512i>(outside), _mm512_set1_epi64(-1)) != 0;
#elif defined(__AVX__)
  return _mm256_movemask_ps(reinterpret_cast<__m256>(outside)) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_ps(reinterpret_cast<__m128>(outside)) != 0;
#else
  bool any = false;
  for (std::size_t i = 0; i < sizeof outside / sizeof outside[0]; ++i) any = any || outside[i] != 0;
  return any;
#endif
}
// Whether any lane of x is larger than that of y.
template <class Integers>
GATESCAN_INLINE bool any_larger(Integers x, Integers y) {
#if defined(__AVX512F__)
  const auto a = reinterpret_cast<__m512i>(x), b = reinterpret_cast<__m512i>(y);
  if constexpr (sizeof x[0] == 4) return _mm512_cmpgt_epi32_mask(a, b) != 0;
  if constexpr (sizeof x[0] == 8) return _mm512_cmpgt_epi64_mask(a, b) != 0;
#endif
  return any_lane(x > y);
}
// Bits of magnitudes: in the order of the magnitudes, NaN above all.
template <class T>
GATESCAN_INLINE typename pack<T>::native_integer magnitude_bits(pack<T> x) {
  return reinterpret_cast<typename pack<T>::native_integer>(abs(x).v);
}
}  // namespace detail

/// Which lanes are 0; `any` tells whether there is one among such lanes.
template <class T>
GATESCAN_INLINE typename pack<T>::native_integer zeros(pack<T> x) {
  return x.v == 0;
}
template <class Lanes>
GATESCAN_INLINE bool any(Lanes x) {
  return detail::any_lane(x);
}

/// The larger of |a| and |b|, NaN above all.
template <class T>
GATESCAN_INLINE pack<T> larger_magnitude(pack<T> a, pack<T> b) {
  const auto x = detail::magnitude_bits(a), y = detail::magnitude_bits(b);
  return {reinterpret_cast<typename pack<T>::native>(x > y ? x : y)};
}
/// |x| <= bound in all lanes; false with a NaN.
template <class T>
GATESCAN_INLINE bool all_within(pack<T> x, T bound) {
  return !detail::any_larger(detail::magnitude_bits(x), detail::magnitude_bits(pack<T>(bound)));
}
/// -|x|
template <class T>
GATESCAN_INLINE pack<T> minus_abs(pack<T> x) {
  using integers = typename pack<T>::native_integer;
  constexpr auto sign = (std::numeric_limits<typename pack<T>::integer>::min)();
  return {reinterpret_cast<typename pack<T>::native>(reinterpret_cast<integers>(x.v) | sign)};
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
