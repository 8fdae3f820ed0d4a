#pragma once
// How the states of a block of channels lie: rows of channels, [part][plane][key][width]. A part is
// the number itself or, between chunks, what it lacks of the exact one.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../operands/cursor.hpp"
#include "../simd/planes.hpp"
#include "shape.hpp"
#include "states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex>
struct states_of_block {
  using E = element_t<C, IsComplex>;
  static constexpr index_t lanes = simd::lanes<C>;

  diagonal_shape n;

  index_t part() const { return n.part_size() * (IsComplex ? 2 : 1); }
  index_t size() const { return n.parts * part(); }
  index_t summary_size() const { return part(); }

  planes<C, IsComplex> high(const C* state) const { return {const_cast<C*>(state), n.part_size()}; }
  planes<C, IsComplex> low(const C* state) const { return high(state + part()); }
  E load_low(const C* state, index_t at) const {
    return n.parts == 2 ? low(state).load(at) : constant<IsComplex>(C(0));
  }
  void store(C* state, index_t at, with_error<E> x) const {
    high(state).store(at, x.value);
    if (n.parts == 2) low(state).store(at, x.error);
  }

  /// `values` channels of an operand from the place `at` on, and back.
  template <class S>
  void load(const operand<S>& from, index_t at, index_t values, C* state) const {
    fill(state, size(), C(0));
    if (!from.given) return;
    for (index_t i = 0; i < n.keys; ++i) {
      C* const row = state + i * n.width;
      copy_numbers(row, 1, from.re + at + i * from.key, from.value, values);
      if (IsComplex && from.im != nullptr)
        copy_numbers(row + n.part_size(), 1, from.im + at + i * from.key, from.value, values);
    }
  }
  void store(const operand<C>& to, index_t at, index_t values, const C* state) const {
    if (!to.given) return;
    for (index_t i = 0; i < n.keys; ++i) {
      const C* const row = state + i * n.width;
      copy_numbers(to.re + at + i * to.key, to.value, row, 1, values);
      if (IsComplex && to.im != nullptr)
        copy_numbers(to.im + at + i * to.key, to.value, row + n.part_size(), 1, values);
    }
  }
  gradient_tile<C> tile(C* state) const {
    return {state, IsComplex ? state + n.part_size() : nullptr, 0, n.width, 1, true};
  }

  // The summary of a segment: the product of its gates.
  void clear_summary(C* product) const {
    fill(product, summary_size(), C(0));
    fill(product, n.part_size(), C(1));
  }
  void extend_summary(C* product, const C* more, index_t values) const {
    for_each_register(values, [&](index_t i) {
      high(product).store(i, high(product).load(i) * high(more).load(i));
    });
  }
  /// Whether every gate of the product is less than `bound`.
  bool forgets(const C* product, C bound, index_t values) const {
    for (index_t row = 0; row < part(); row += n.width)
      for (index_t i = 0; i < values; ++i)
        if (!(std::abs(product[row + i]) < bound)) return false;
    return true;
  }
  /// Whether two states have the same bits where there are channels.
  bool same(const C* x, const C* y, index_t values) const {
    for (index_t row = 0; row < size(); row += n.width)
      if (std::memcmp(x + row, y + row, static_cast<std::size_t>(values) * sizeof(C)) != 0)
        return false;
    return true;
  }
  /// out = product in + local, with the conjugate for gradients; false where that is not finite.
  template <bool Conjugate>
  bool apply_summary(const C* product, const C* local, const C* in, C* out, index_t values) const {
    E check = constant<IsComplex>(C(0));
    for_each_register(values, [&](index_t i) {
      decayed_state<IsComplex, C> h(high(in).load(i), load_low(in, i));
      h.product = high(product).load(i), h.local = high(local).load(i);
      if constexpr (Conjugate) h.product = conj(h.product);
      auto end = h.end();
      if (n.parts == 2) end = with_low(end, load_low(local, i));
      store(out, i, end);
      check = check + end.value * simd::pack<C>(0);
    });
    return is_zero(check);
  }

 private:
  // f(its place) for every register with channels in use
  template <class F>
  void for_each_register(index_t values, F&& f) const {
    for (index_t row = 0; row < n.part_size(); row += n.width)
      for (index_t w = 0; w < values; w += lanes) f(row + w);
  }
  static with_error<simd::pack<C>> with_low(with_error<simd::pack<C>> x, simd::pack<C> low) {
    return exact_sum(x.value, x.error + low);
  }
  static with_error<cplx<simd::pack<C>>> with_low(with_error<cplx<simd::pack<C>>> x,
                                                  cplx<simd::pack<C>>) {
    return x;  // complex states have one part
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
