#pragma once
// What moves lanes about: sums of a register's lanes, halves in double, transpositions.

#include "pack.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace simd {

namespace detail {
// Halves are added until one number is left.
template <class T, class Vector, std::size_t... J>
GATESCAN_INLINE T sum_of(Vector x, std::index_sequence<J...>) {
  constexpr std::size_t n = sizeof...(J);
  const auto half = __builtin_shufflevector(x, x, J...) + __builtin_shufflevector(x, x, n + J...);
  if constexpr (n == 2)
    return half[0] + half[1];
  else
    return sum_of<T>(half, std::make_index_sequence<n / 2>{});
}
}  // namespace detail
template <class T>
GATESCAN_INLINE T sum(pack<T> x) {
  if constexpr (lanes<T> == 2)
    return x.v[0] + x.v[1];
  else
    return detail::sum_of<T>(x.v, std::make_index_sequence<lanes<T> / 2>{});
}

/// The first and the second half of a register of floats, in double; and back.
struct doubles {
  pack<double> first, second;
};
namespace detail {
typedef float half_register __attribute__((vector_size(register_bytes / 2)));
#if defined(__AVX512F__)  // by name: gcc 12 converts quarters and puts them together
GATESCAN_INLINE pack<double> widened(half_register x) {
  return {_mm512_maskz_cvtps_pd(0xff, reinterpret_cast<__m256>(x))};
}
GATESCAN_INLINE half_register narrowed(pack<double> x) {
  return reinterpret_cast<half_register>(_mm512_maskz_cvtpd_ps(0xff, x.v));
}
#else
GATESCAN_INLINE pack<double> widened(half_register x) {
  return {__builtin_convertvector(x, pack<double>::native)};
}
GATESCAN_INLINE half_register narrowed(pack<double> x) {
  return __builtin_convertvector(x.v, half_register);
}
#endif
template <std::size_t First, std::size_t... J>
GATESCAN_INLINE pack<double> half_of(pack<float> x, std::index_sequence<J...>) {
  return widened(__builtin_shufflevector(x.v, x.v, First + J...));
}
template <std::size_t... J>
GATESCAN_INLINE pack<float> joined(doubles x, std::index_sequence<J...>) {
  return {__builtin_shufflevector(narrowed(x.first), narrowed(x.second), J...)};
}
}  // namespace detail
GATESCAN_INLINE doubles widen(pack<float> x) {
  using half = std::make_index_sequence<lanes<double>>;
  return {detail::half_of<0>(x, half{}), detail::half_of<lanes<double>>(x, half{})};
}
GATESCAN_INLINE pack<float> narrow(doubles x) {
  return detail::joined(x, std::make_index_sequence<lanes<float>>{});
}

namespace detail {

// Of every group of `Group` lanes: the even (or odd) units of a, then those of b.
template <bool Odd, std::size_t Unit, std::size_t Group, class T, std::size_t... J>
GATESCAN_INLINE pack<T> halves(pack<T> a, pack<T> b, std::index_sequence<J...>) {
  return {__builtin_shufflevector(a.v, b.v,
                                  (J / Group * Group + (J % (Group / 2) / Unit * 2 + Odd) * Unit +
                                   J % Unit + (J % Group >= Group / 2 ? sizeof...(J) : 0))...)};
}
template <std::size_t Unit, std::size_t Group, class T>
GATESCAN_INLINE pack<T> add_halves(pack<T> a, pack<T> b) {
  using all = std::make_index_sequence<lanes<T>>;
  return halves<false, Unit, Group>(a, b, all{}) + halves<true, Unit, Group>(a, b, all{});
}
// One step of a transposition: exchanges blocks of `Step` lanes between two registers.
template <bool Second, std::size_t Step, class T, std::size_t... J>
GATESCAN_INLINE pack<T> exchange(pack<T> a, pack<T> b, std::index_sequence<J...>) {
  return {__builtin_shufflevector(
      a.v, b.v, (J & Step ? sizeof...(J) + J - (Second ? 0 : Step) : J + (Second ? Step : 0))...)};
}
template <std::size_t Step, class T>
GATESCAN_INLINE void transpose_step(pack<T> (&x)[lanes<T>]) {
  using all = std::make_index_sequence<lanes<T>>;
  if constexpr (Step < lanes<T>) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes<T>; ++i) {
      if (i & Step) continue;
      const pack<T> a = x[i], b = x[i + Step];
      x[i] = exchange<false, Step>(a, b, all{});
      x[i + Step] = exchange<true, Step>(a, b, all{});
    }
    transpose_step<2 * Step>(x);
  }
}

}  // namespace detail

namespace detail {
template <std::size_t Unit, class T, std::size_t N>
GATESCAN_INLINE pack<T> added_up(pack<T> (&x)[N]) {
  if constexpr (N == 1) {
    return x[0];
  } else {
    pack<T> halves[N / 2];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < N / 2; ++i)
      halves[i] = add_halves<Unit, lanes<T>>(x[2 * i], x[2 * i + 1]);
    return added_up<Unit / 2>(halves);
  }
}
}  // namespace detail
/// Lane i: sum(x[i]), by the same additions.
template <class T>
GATESCAN_INLINE pack<T> sums(pack<T> (&x)[lanes<T>]) {
  return detail::added_up<lanes<T> / 2>(x);
}
/// The first halves of a and b, or the second ones.
template <class T>
GATESCAN_INLINE pack<T> first_halves(pack<T> a, pack<T> b) {
  constexpr auto n = static_cast<std::size_t>(lanes<T>);
  return detail::exchange<false, n / 2>(a, b, std::make_index_sequence<n>{});
}
template <class T>
GATESCAN_INLINE pack<T> second_halves(pack<T> a, pack<T> b) {
  constexpr auto n = static_cast<std::size_t>(lanes<T>);
  return detail::exchange<true, n / 2>(a, b, std::make_index_sequence<n>{});
}
/// x[i] lane j <-> x[j] lane i
template <class T>
GATESCAN_INLINE void transpose(pack<T> (&x)[lanes<T>]) {
  detail::transpose_step<1>(x);
}
/// to[i] = the sum of x[i]'s lanes.
template <class T, std::size_t N>
GATESCAN_INLINE void sum_each(pack<T> (&x)[N], T* to) {
  constexpr std::size_t n = lanes<T>, group = 16 / sizeof(T);
  std::size_t done = 0;
  for (; done + n <= N; done += n) {  // a tree that adds n registers at once
    pack<T>* r = x + done;
    std::size_t left = n;
#pragma GCC unroll 4
    for (std::size_t step = group; step > 1; step /= 2, left /= 2)
#pragma GCC unroll 8
      for (std::size_t i = 0; i < left / 2; ++i)
        r[i] = detail::add_halves<1, group>(r[2 * i], r[2 * i + 1]);
    if constexpr (n > group) {
#pragma GCC unroll 4
      for (; left > 1; left /= 2)
#pragma GCC unroll 8
        for (std::size_t i = 0; i < left / 2; ++i)
          r[i] = detail::add_halves<group, n>(r[2 * i], r[2 * i + 1]);
    }
    store(to + done, r[0]);
  }
  for (; done < N; ++done) to[done] = sum(x[done]);
}

}  // namespace simd
}  // namespace GATESCAN_ABI
}  // namespace gatescan
