#pragma once
// Number formats: what operands are stored in, and what arithmetic and states use.

#include <cstdint>

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

/// bfloat16: storage only. Conversion from float rounds to nearest even; NaN stays NaN.
struct bf16 {
  std::uint16_t bits = 0;

  GATESCAN_UNLINKED bf16() = default;
  GATESCAN_HD GATESCAN_UNLINKED explicit bf16(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    const auto u = __builtin_bit_cast(std::uint32_t, x);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
    bits = static_cast<std::uint16_t>(nan ? (u >> 16) | 0x40u : rounded >> 16);
#endif
  }
  GATESCAN_HD GATESCAN_UNLINKED explicit operator float() const {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
};

/// IEEE binary16: storage only. Conversion from float rounds to nearest even; NaN stays NaN.
struct half {
  std::uint16_t bits = 0;

  GATESCAN_UNLINKED half() = default;
  GATESCAN_HD GATESCAN_UNLINKED explicit half(float x) {
    const auto u = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    std::uint32_t h;
    if (magnitude > 0x7f800000u) {
      h = 0x7e00u;
    } else if (magnitude >= 0x477ff000u) {  // rounds to 65536 or more
      h = 0x7c00u;
    } else if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 lets the hardware round at 2^-24
      const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
      h = __builtin_bit_cast(std::uint32_t, shifted) - 0x3f000000u;
    } else {
      h = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    }
    bits = static_cast<std::uint16_t>(sign | h);
  }
  GATESCAN_HD GATESCAN_UNLINKED explicit operator float() const {
    const std::uint32_t sign = (bits & 0x8000u) << 16;
    const std::uint32_t magnitude = bits & 0x7fffu;
    std::uint32_t u;
    if (magnitude >= 0x7c00u) {
      u = 0x7f800000u | (magnitude & 0x3ffu) << 13;
    } else if (magnitude < 0x400u) {
      u = __builtin_bit_cast(std::uint32_t, static_cast<float>(magnitude) * 5.9604644775390625e-8f);
    } else {
      u = (magnitude << 13) + 0x38000000u;
    }
    return __builtin_bit_cast(float, sign | u);
  }
};

/// wide<T>: operands stored as T, arithmetic and states in double.
template <class T>
struct wide {};

/// float_gates<T>: as T, a format of 16 bits, but what gates are made of is stored as float. bf16
/// has no number between 0.998 and 1, where gates of long memories lie. wide<float_gates<T>> works
/// too.
template <class T>
struct float_gates {};

/// device<T>: the same, in the memory of a device. `gla::inputs<device<float>>` are views of it.
template <class T>
struct device {};

}  // namespace GATESCAN_TYPES

inline namespace GATESCAN_ABI {
namespace detail {

// std::bit_cast is host code to nvcc; the builtin under it is not.
template <class To, class From>
GATESCAN_HD constexpr To bits_as(From x) {
  return __builtin_bit_cast(To, x);
}

template <class Storage, class State, class Gate = Storage>
struct format_types {
  using storage = Storage;
  using state = State;
  using gate = Gate;
};
template <class T>
struct format;
template <>
struct format<double> : format_types<double, double> {};
template <>
struct format<float> : format_types<float, float> {};
template <>
struct format<bf16> : format_types<bf16, float> {};
template <>
struct format<half> : format_types<half, float> {};
template <class T>
struct format<float_gates<T>> : format_types<T, float, float> {
  static_assert(sizeof(T) == 2, "gatescan: float_gates<T> is for T of 16 bits: bf16 or half");
};
template <class T>
struct format<wide<T>>
    : format_types<typename format<T>::storage, double, typename format<T>::gate> {};
template <class T>
struct format<device<T>> : format<T> {};

template <class T>
inline constexpr bool on_device = false;
template <class T>
inline constexpr bool on_device<device<T>> = true;
}  // namespace detail

template <class T>
using storage_t = typename detail::format<T>::storage;
template <class T>
using state_t = typename detail::format<T>::state;
template <class T>
using gate_t = typename detail::format<T>::gate;

/// Converts between storage and arithmetic types; 16-bit formats go through float.
template <class To, class From>
GATESCAN_HD GATESCAN_INLINE To convert(From x) {
  if constexpr (sizeof(To) == 2 || sizeof(From) == 2) {
    return static_cast<To>(static_cast<float>(x));
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
