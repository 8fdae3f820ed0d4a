#pragma once
// The cursors of a recurrence's token stage, at no key and no value. At one token of one head a
// register holds one number in all lanes; gradients that keys and values have added to are sums
// lane by lane, still to be added up.

#include <algorithm>

#include "cursor.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex>
struct token_cursor {
  using register_type = simd::pack<C>;
  using key_cursor = cursor<C, IsComplex, along::keys>;

  index_t t, keys;
  index_t tile_t = 0;  // the token inside the gradient tile

  template <class S>
  GATESCAN_INLINE register_type operator()(const operand<S>& x) const {
    return register_type(convert<C>(x.re[t * x.time]));
  }
  template <class S>
  GATESCAN_INLINE element_t<C, IsComplex> element(const operand<S>& x) const {
    if constexpr (IsComplex)
      return {(*this)(x), register_type(x.im != nullptr ? convert<C>(x.im[t * x.time]) : C(0))};
    else
      return (*this)(x);
  }
  /// Every lane counts: a tile of a number has a register for it.
  template <class E>
  GATESCAN_INLINE void add(const gradient_tile<C>& d, const E& g) const {
    key_cursor{t, 0, 0, static_cast<int>(simd::lanes<C>), tile_t}.add(d, g);
  }

  template <class F>
  GATESCAN_INLINE register_type sum_over_keys(F&& f) const {
    return total(added_keys(f));
  }
  /// That sum lane by lane.
  template <class F>
  GATESCAN_INLINE register_type added_keys(F&& f) const {
    constexpr index_t width = simd::lanes<C>;
    register_type sum(0);
    index_t i = 0;
    for (; i + width <= keys; i += width)
      sum += f(key_cursor{t, i, 0, static_cast<int>(width), tile_t});
    if (const int rest = static_cast<int>(keys - i); rest > 0)
      sum += simd::first_lanes(f(key_cursor{t, i, 0, rest, tile_t}), rest, register_type(0));
    return sum;
  }
  template <class F>
  GATESCAN_INLINE void for_each_key(F&& f) const {
    for (index_t i = 0; i < keys; i += simd::lanes<C>)
      f(key_cursor{t, i, 0, static_cast<int>(std::min<index_t>(simd::lanes<C>, keys - i)), tile_t});
  }
  GATESCAN_INLINE register_type total(register_type x) const { return register_type(simd::sum(x)); }
};

/// A register of such tokens, one in each lane, which reads alone.
template <class C, bool IsComplex>
struct tokens_cursor {
  using register_type = simd::pack<C>;
  static constexpr index_t width = simd::lanes<C>;

  index_t t, keys;  // the first token
  int count;        // lanes in use

  template <class S>
  GATESCAN_INLINE register_type operator()(const operand<S>& x) const {
    return read(x, x.re);
  }
  template <class S>
  GATESCAN_INLINE element_t<C, IsComplex> element(const operand<S>& x) const {
    if constexpr (IsComplex)
      return {read(x, x.re), x.im != nullptr ? read(x, x.im) : register_type(0)};
    else
      return read(x, x.re);
  }
  template <class F>
  GATESCAN_INLINE register_type sum_over_keys(F&& f) const {
    register_type of_tokens[static_cast<std::size_t>(width)];
    for (int i = 0; i < static_cast<int>(width); ++i)
      of_tokens[i] =
          i < count ? token_cursor<C, IsComplex>{t + i, keys}.added_keys(f) : register_type(0);
    return simd::sums(of_tokens);
  }

 private:
  template <class S, class P>
  GATESCAN_INLINE register_type read(const operand<S>& x, P* plane) const {
    return simd::load<C>(plane + t * x.time, x.time, count);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
