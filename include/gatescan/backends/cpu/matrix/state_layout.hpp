#pragma once
// The state of one head as kernels keep it, and as the caller has it: rows of values, one a key,
// for real parts and then for imaginary ones, padded; [K, V] of any strides there.

#include <cstring>

#include "../../../core/state.hpp"
#include "../operands/gradients.hpp"
#include "tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex>
struct state_layout {
  matrix_shape n;
  index_t size;  // numbers of a state, with what a kernel keeps behind it: zeros to begin with

  /// The state of a head, or 0 where there is none.
  template <class S>
  void load(const state_operands<S>& from, index_t sequence, index_t head, C* state) const {
    fill(state, size, C(0));
    if (const operand<S>& x = from.normaliser; x.given)
      copy_numbers(state + n.values, n.state_pitch, x.re + x.offset(sequence, 0, head), x.key,
                   n.keys);
    if (!from.given) return;
    const index_t at = from.offset(sequence, 0, head);
    for (index_t i = 0; i < n.keys; ++i) {
      C* row = state + i * n.state_pitch;
      copy_numbers(row, 1, from.re + at + i * from.key, from.value, n.values);
      if (IsComplex && from.im != nullptr)
        copy_numbers(row + n.key_pitch * n.state_pitch, 1, from.im + at + i * from.key, from.value,
                     n.values);
    }
  }
  void store(const state_operands<C>& to, index_t sequence, index_t head, const C* state) const {
    if (const operand<C>& x = to.normaliser; x.given)
      copy_numbers(x.re + x.offset(sequence, 0, head), x.key, state + n.values, n.state_pitch,
                   n.keys);
    if (!to.given) return;
    const index_t at = to.offset(sequence, 0, head);
    for (index_t i = 0; i < n.keys; ++i) {
      const C* row = state + i * n.state_pitch;
      copy_numbers(to.re + at + i * to.key, to.value, row, 1, n.values);
      if (IsComplex && to.im != nullptr)
        copy_numbers(to.im + at + i * to.key, to.value, row + n.key_pitch * n.state_pitch, 1,
                     n.values);
    }
  }
  gradient_tile<C> tile(C* state) const {
    return {state, IsComplex ? state + n.key_pitch * n.state_pitch : nullptr, 0, n.state_pitch, 1,
            true};
  }
  gradient_tile<C> normaliser_tile(C* state) const {
    return {state + n.values, nullptr, 0, n.state_pitch, 0, true};
  }
  /// Whether two states have the same bits, apart from what no kernel reads.
  bool same(const C* x, const C* y) const {
    const auto row = static_cast<std::size_t>(n.value_pitch) * sizeof(C);
    for (index_t at = 0; at < n.state_size(); at += n.state_pitch)
      if (std::memcmp(x + at, y + at, row) != 0) return false;
    const auto behind = static_cast<std::size_t>(size - n.state_size()) * sizeof(C);
    return behind == 0 || std::memcmp(x + n.state_size(), y + n.state_size(), behind) == 0;
  }
  /// Whether the caller's rows are whole registers as they lie.
  bool rows_are_whole(const operand<C>& to) const {
    return to.value == 1 && n.values == n.value_pitch && IsComplex == (to.im != nullptr);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
