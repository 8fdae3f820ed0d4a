// A SIMD layer: the compiler's vector extensions at the target's width, by the library's own pack.
#pragma once

#include <gatescan/backends/cpu/simd/conversions.hpp>

namespace simd_layer {

struct vector_extensions {
  using vec = gatescan::simd::pack<float>;
  using bits = vec::native_integer;
  static constexpr int lanes = gatescan::simd::lanes<float>;

  static GATESCAN_INLINE vec set(float x) { return vec(x); }
  static GATESCAN_INLINE vec load(const float* p) { return gatescan::simd::load(p); }
  static GATESCAN_INLINE void store(float* p, vec x) { gatescan::simd::store(p, x); }
  static GATESCAN_INLINE void stream(float* p, vec x) { gatescan::simd::stream(p, x); }
  static void fence() { gatescan::simd::fence(); }
  static GATESCAN_INLINE vec load_first(const float* p, int n) {
    return gatescan::simd::load<float>(p, 1, n);
  }
  static GATESCAN_INLINE void store_first(float* p, int n, vec x) {
    gatescan::simd::store(p, 1, n, x);
  }
  static GATESCAN_INLINE vec fma(vec a, vec b, vec c) { return gatescan::simd::fma(a, b, c); }
  static GATESCAN_INLINE vec max(vec a, vec b) { return gatescan::simd::larger(a, b); }
  static GATESCAN_INLINE vec abs(vec a) { return gatescan::simd::abs(a); }
  // Magnitudes compare as integers, NaN above all.
  static GATESCAN_INLINE vec larger_magnitude(vec a, vec b) {
    const bits i = reinterpret_cast<bits>(a.v), j = reinterpret_cast<bits>(b.v);
    return {reinterpret_cast<vec::native>(i > j ? i : j)};
  }
  static GATESCAN_INLINE bool all_magnitudes_within(vec a, float bound) {
    return gatescan::simd::all_within(a, bound);
  }
  /// x 2^n, n in the low bits of `shifted`.
  static GATESCAN_INLINE vec times_power(vec x, vec shifted) {
    return {reinterpret_cast<vec::native>(reinterpret_cast<bits>(x.v) +
                                          (reinterpret_cast<bits>(shifted.v) << 23))};
  }
};

}  // namespace simd_layer
