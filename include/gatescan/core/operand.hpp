#pragma once
// Operands as the math and the backends see them: one pointer (two where numbers are complex) and a
// stride for each meaning that an axis can have. Views become operands in api/bind.hpp.

#include <cstdint>

#include "scalar.hpp"
#include "view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// What an axis of an operand means. `channel` is head x value in one axis; `head` may be a divisor
/// of the head count (grouped heads); `key_or_one` and `value_or_one` may have extent 1; `group`
/// may be missing (then there is one group).
enum class axis {
  batch,
  sequence,
  time,
  head,
  group,
  key,
  key_or_one,
  value,
  value_or_one,
  channel
};

enum class presence { required, optional };

/// The axes of an operand in the caller's order. Made at compile time, so that device code that
/// asks for one costs nothing.
struct axes {
  int rank = 0;
  axis of[max_rank] = {};
  unsigned found = 0;  // a bit an axis

  consteval axes(std::initializer_list<axis> list) {
    for (axis a : list) {
      of[rank++] = a;
      found |= 1u << static_cast<int>(a);
    }
  }
  GATESCAN_HD constexpr bool has(axis a) const { return (found >> static_cast<int>(a) & 1u) != 0; }
};

/// The size of a problem. With packed sequences batch is 1 and `sequences` counts them; otherwise
/// they are equal.
struct sizes {
  index_t sequences = 0, batch = 0, time = 0, heads = 0, keys = 0, values = 0;
};

/// A canonical operand: strides along the meanings of its axes, 0 where it has none.
/// `heads_a_group` heads read one head of the operand. `im` is null for real numbers; a shape
/// without data has no pointers at all, so that `complex` says what it is.
template <class T>
struct operand {
  T* re = nullptr;
  T* im = nullptr;
  index_t batch = 0, time = 0, head = 0, key = 0, value = 0;
  index_t heads_a_group = 1;
  bool given = false;
  bool one_key = false;  // extent 1 where keys might be
  bool complex = false;

  GATESCAN_HD index_t offset(index_t b, index_t t, index_t h) const {
    return b * batch + t * time + group_of(h) * head;
  }
  /// Most operands have all heads: no division for them. Heads are fewer than 2^32 (check_sizes),
  /// and a division of 32 bits is no call on a device.
  GATESCAN_HD index_t group_of(index_t h) const {
    if (heads_a_group == 1) return h;
    return static_cast<std::uint32_t>(h) / static_cast<std::uint32_t>(heads_a_group);
  }
  /// The operand of one head from one value on: only time, key and value strides matter afterwards.
  GATESCAN_HD operand of_head(index_t b, index_t h, index_t first_value) const {
    operand o = *this;
    o.go_to_head(b, h, first_value);
    return o;
  }
  /// The same in place: one token's step is short beside a copy whose flags were just written.
  GATESCAN_HD GATESCAN_INLINE void go_to_head(index_t b, index_t h, index_t first_value) {
    const index_t here = offset(b, 0, h) + first_value * value;
    if (re != nullptr) re += here;
    if (im != nullptr) im += here;
  }
};

namespace detail {

/// Whether real and imaginary parts lie by turns along an axis of this stride, as in std::complex.
template <class T>
GATESCAN_HD constexpr bool is_interleaved(const operand<T>& x, index_t stride) {
  return stride == 2 && x.im == x.re + 1;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
