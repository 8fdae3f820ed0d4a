#pragma once
// A cursor that makes a note of what does not change from token to token (core/once.hpp), for
// kernels that take tokens one after another.

#include "cursor.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Tokens, a cursor along values. notes: [register of channels][slot] registers, from the operands'
/// first value on, or null. They are made where `makes`, and read elsewhere.
template <class Tokens, class C>
struct noting : Tokens {
  static constexpr index_t lanes = simd::lanes<C>, notes_a_channel = 2;
  static index_t size(index_t channels) { return notes_a_channel * channels; }

  C* notes;
  bool makes;

  template <index_t Slot, class S, class F>
  GATESCAN_INLINE typename Tokens::register_type once(const operand<S>& x, const F& f) const {
    static_assert(Slot < notes_a_channel);
    if (notes == nullptr || x.time != 0) return f((*this)(x));
    C* const own = notes + notes_a_channel * first_value() + Slot * lanes;
    if (!makes) return read(own);
    const auto made = f((*this)(x));
    write(own, made);
    return made;
  }

 private:
  static constexpr bool four = Tokens::registers == 4;
  static_assert(four || Tokens::registers == 1);

  GATESCAN_INLINE index_t first_value() const {
    if constexpr (four)
      return this->first.value;
    else
      return this->value;
  }
  static GATESCAN_INLINE typename Tokens::register_type read(const C* own) {
    const auto at = [&](index_t i) { return simd::load(own + i * notes_a_channel * lanes); };
    if constexpr (four)
      return {at(0), at(1), at(2), at(3)};
    else
      return at(0);
  }
  static GATESCAN_INLINE void write(C* own, const typename Tokens::register_type& x) {
    const auto put = [&](index_t i, simd::pack<C> part) {
      simd::store(own + i * notes_a_channel * lanes, part);
    };
    if constexpr (four)
      put(0, x.a), put(1, x.b), put(2, x.c), put(3, x.d);
    else
      put(0, x);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
