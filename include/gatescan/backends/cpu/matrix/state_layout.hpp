#pragma once
// The state of one head as kernels keep it, and as the caller has it: rows of values, one a key,
// for real parts and then for imaginary ones, padded; [K, V] of any strides there.

#include "../operands/gradients.hpp"
#include "tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex>
struct state_layout {
  matrix_shape n;
  index_t size;  // numbers of a state, with what a kernel keeps behind it: zeros to begin with

  /// The state at `at` of `from`, or 0 where there is none.
  template <class S>
  void load(const operand<S>& from, index_t at, C* state) const {
    fill(state, size, C(0));
    if (!from.given) return;
    for (index_t i = 0; i < n.keys; ++i) {
      C* row = state + i * n.state_pitch;
      copy_numbers(row, 1, from.re + at + i * from.key, from.value, n.values);
      if (IsComplex && from.im != nullptr)
        copy_numbers(row + n.key_pitch * n.state_pitch, 1, from.im + at + i * from.key, from.value,
                     n.values);
    }
  }
  void store(const operand<C>& to, index_t at, const C* state) const {
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
  /// Whether the caller's rows are whole registers as they lie.
  bool rows_are_whole(const operand<C>& to) const {
    return to.value == 1 && n.values == n.value_pitch && IsComplex == (to.im != nullptr);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
