#pragma once
// Whole registers of numbers that are stored in another format than they are computed in.

#include "lanes.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {
namespace detail {

// N numbers at any address.
template <class S, int N>
struct vector_of {
  typedef S type
      __attribute__((vector_size(N * static_cast<int>(sizeof(S))), aligned(alignof(S)), may_alias));
};
template <int N>
using floats = typename vector_of<float, N>::type;
template <int N>
using shorts = typename vector_of<std::uint16_t, N>::type;
template <int N>
using words = typename vector_of<std::uint32_t, N>::type;

#if defined(__F16C__)
inline constexpr bool converts_half = true;
#else
inline constexpr bool converts_half = false;
#endif
template <class S>
inline constexpr bool has_vectors = std::is_same_v<S, float> || std::is_same_v<S, bf16> ||
                                    (std::is_same_v<S, half> && converts_half);

template <int N>
GATESCAN_INLINE floats<N> as_floats(const float* p) {
  return *reinterpret_cast<const floats<N>*>(p);
}
template <int N>
GATESCAN_INLINE void put_floats(float* p, floats<N> x) {
  *reinterpret_cast<floats<N>*>(p) = x;
}

// Between 16 and 32 bits. gcc 12 makes twice the instructions of the conversion it has a name for,
// and crashes on sixteen numbers now and then. Where its headers leave a register undefined (and it
// warns of that), all lanes are asked for by a mask.
template <int N>
GATESCAN_INLINE words<N> widened_bits(const std::uint16_t* p) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return reinterpret_cast<words<N>>(_mm512_maskz_cvtepu16_epi32(
        0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#endif
#if defined(__AVX2__)
  if constexpr (N == 8)
    return reinterpret_cast<words<N>>(
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#endif
  return __builtin_convertvector(*reinterpret_cast<const shorts<N>*>(p), words<N>);
}
template <int N>
GATESCAN_INLINE void put_narrowed(std::uint16_t* p, words<N> x) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_maskz_cvtepi32_epi16(0xffff, reinterpret_cast<__m512i>(x)));
    return;
  }
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    const auto all = reinterpret_cast<__m256i>(x);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
    return;
  }
#endif
  *reinterpret_cast<shorts<N>*>(p) = __builtin_convertvector(x, shorts<N>);
}

// as bf16's own conversions (core/scalar.hpp)
template <int N>
GATESCAN_INLINE floats<N> as_floats(const bf16* p) {
  return reinterpret_cast<floats<N>>(widened_bits<N>(&p->bits) << 16);
}
template <int N>
GATESCAN_INLINE void put_floats(bf16* p, floats<N> x) {
  const auto u = reinterpret_cast<words<N>>(x);
  const words<N> high = u >> 16, rounded = (u + 0x7fffu + (high & 1u)) >> 16;
  put_narrowed<N>(&p->bits, x == x ? rounded : high | 0x40u);
}

#if defined(__F16C__)
template <int N>
GATESCAN_INLINE floats<N> as_floats(const half* p) {
  floats<N> x;
  constexpr int step = N < 8 ? 4 : 8;
#pragma GCC unroll 2
  for (int i = 0; i < N; i += step) {
    const auto* const from = reinterpret_cast<const __m128i*>(p + i);
    if constexpr (step == 8) {
      const __m256 part = _mm256_cvtph_ps(_mm_loadu_si128(from));
      __builtin_memcpy(reinterpret_cast<char*>(&x) + 4 * i, &part, sizeof part);
    } else {
      const __m128 part = _mm_cvtph_ps(_mm_loadl_epi64(from));
      __builtin_memcpy(&x, &part, sizeof part);
    }
  }
  return x;
}
template <int N>
GATESCAN_INLINE void put_floats(half* p, floats<N> x) {
  constexpr int step = N < 8 ? 4 : 8;
#pragma GCC unroll 2
  for (int i = 0; i < N; i += step) {
    auto* const to = reinterpret_cast<__m128i*>(p + i);
    if constexpr (step == 8) {
      __m256 part;
      __builtin_memcpy(&part, reinterpret_cast<const char*>(&x) + 4 * i, sizeof part);
      _mm_storeu_si128(to, _mm256_cvtps_ph(part, _MM_FROUND_TO_NEAREST_INT));
    } else {
      __m128 part;
      __builtin_memcpy(&part, &x, sizeof part);
      _mm_storel_epi64(to, _mm_cvtps_ph(part, _MM_FROUND_TO_NEAREST_INT));
    }
  }
}
#endif

template <class T, class S>
GATESCAN_INLINE pack<T> load_converted(const S* p) {
  const floats<lanes<T>> x = as_floats<lanes<T>>(p);
  return {__builtin_convertvector(x, typename pack<T>::native)};
}
template <class S, class T>
GATESCAN_INLINE void store_converted(S* p, pack<T> x) {
  put_floats<lanes<T>>(p, __builtin_convertvector(x.v, floats<lanes<T>>));
}

// Parts of registers, and strides: out of line, since recurrences read operands in many places.
template <class T, class S>
__attribute__((noinline, pure)) pack<T> load_some(const S* p, index_t stride, int n) {
  if constexpr (std::is_same_v<T, S>)
    if (stride == 1) return load_first(p, n);
  alignas(register_bytes) T x[lanes<T>] = {};
  for (int i = 0; i < n; ++i) x[i] = convert<T>(p[i * stride]);
  return load(x);
}
template <class T, class S>
__attribute__((noinline)) void store_some(S* p, index_t stride, int n, pack<T> value) {
  if constexpr (std::is_same_v<T, S>)
    if (stride == 1) return store_first(p, n, value);
  alignas(register_bytes) T x[lanes<T>];
  store(x, value);
  for (int i = 0; i < n; ++i) p[i * stride] = convert<S>(x[i]);
}

}  // namespace detail

/// n numbers from memory of any storage type and stride in the first lanes, in the others zero or,
/// with stride 0, the same number as in all.
template <class T, class S>
GATESCAN_INLINE pack<T> load(const S* p, index_t stride, int n) {
  if (n == lanes<T> && stride == 1) {
    if constexpr (std::is_same_v<T, S>) return load(p);
    if constexpr (detail::has_vectors<S>) return detail::load_converted<T>(p);
  }
  if (stride == 0 && n > 0) return pack<T>(convert<T>(*p));
  return detail::load_some<T>(p, stride, n);
}
template <class T, class S>
GATESCAN_INLINE void store(S* p, index_t stride, int n, pack<T> value) {
  if (n == lanes<T> && stride == 1) {
    if constexpr (std::is_same_v<T, S>) return store(p, value);
    if constexpr (detail::has_vectors<S>) return detail::store_converted(p, value);
  }
  detail::store_some(p, stride, n, value);
}

namespace detail {
// Of a and b by turns: from their first or second halves.
template <bool Second, class T, std::size_t... J>
GATESCAN_INLINE pack<T> by_turns(pack<T> a, pack<T> b, std::index_sequence<J...>) {
  constexpr std::size_t n = sizeof...(J);
  return {__builtin_shufflevector(a.v, b.v, (J / 2 + (Second ? n / 2 : 0) + (J % 2 ? n : 0))...)};
}
}  // namespace detail

/// A register of complex numbers whose real and imaginary parts lie by turns.
template <class T, class S>
GATESCAN_INLINE cplx<pack<T>> load_interleaved(const S* p) {
  constexpr auto n = static_cast<std::size_t>(lanes<T>);
  using all = std::make_index_sequence<n>;
  const pack<T> a = load<T>(p, 1, lanes<T>), b = load<T>(p + n, 1, lanes<T>);
  return {detail::halves<false, 1, n>(a, b, all{}), detail::halves<true, 1, n>(a, b, all{})};
}
/// f(p, register) for the two registers of what is to lie at p by turns.
template <class T, class S, class F>
GATESCAN_INLINE void interleave(S* p, cplx<pack<T>> x, F&& f) {
  using all = std::make_index_sequence<static_cast<std::size_t>(lanes<T>)>;
  f(p, detail::by_turns<false>(x.re, x.im, all{}));
  f(p + lanes<T>, detail::by_turns<true>(x.re, x.im, all{}));
}

}  // namespace simd
}  // namespace GATESCAN_ABI
}  // namespace gatescan
