// A SIMD layer: Highway with static dispatch.
#pragma once

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <gatescan/core/macros.hpp>

namespace simd_layer {

namespace hn = hwy::HWY_NAMESPACE;

struct highway {
  using tag = hn::ScalableTag<float>;
  using int_tag = hn::RebindToSigned<tag>;
  using vec = hn::Vec<tag>;
  static constexpr int lanes = static_cast<int>(hn::MaxLanes(tag{}));

  static GATESCAN_INLINE auto first(int n) {
    return hn::FirstN(tag{}, static_cast<std::size_t>(n));
  }
  static GATESCAN_INLINE vec set(float x) { return hn::Set(tag{}, x); }
  static GATESCAN_INLINE vec load(const float* p) { return hn::LoadU(tag{}, p); }
  static GATESCAN_INLINE void store(float* p, vec x) { hn::StoreU(x, tag{}, p); }
  static GATESCAN_INLINE void stream(float* p, vec x) { hn::Stream(x, tag{}, p); }
  static void fence() { hwy::FlushStream(); }
  static GATESCAN_INLINE vec load_first(const float* p, int n) {
    return hn::MaskedLoad(first(n), tag{}, p);
  }
  static GATESCAN_INLINE void store_first(float* p, int n, vec x) {
    hn::BlendedStore(x, first(n), tag{}, p);
  }
  static GATESCAN_INLINE vec fma(vec a, vec b, vec c) { return hn::MulAdd(a, b, c); }
  static GATESCAN_INLINE vec max(vec a, vec b) { return hn::Max(a, b); }
  static GATESCAN_INLINE vec abs(vec a) { return hn::Abs(a); }
  static GATESCAN_INLINE vec larger_magnitude(vec a, vec b) {
    return hn::BitCast(tag{}, hn::Max(hn::BitCast(int_tag{}, a), hn::BitCast(int_tag{}, b)));
  }
  static GATESCAN_INLINE bool all_magnitudes_within(vec a, float bound) {
    return hn::AllFalse(int_tag{},
                        hn::Gt(hn::BitCast(int_tag{}, a), hn::BitCast(int_tag{}, set(bound))));
  }
  static GATESCAN_INLINE vec times_power(vec x, vec shifted) {
    return hn::BitCast(tag{}, hn::Add(hn::BitCast(int_tag{}, x),
                                      hn::ShiftLeft<23>(hn::BitCast(int_tag{}, shifted))));
  }
};

}  // namespace simd_layer
