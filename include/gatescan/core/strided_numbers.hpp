#pragma once
// Numbers of a state or a gradient in the caller's memory, counted one after another: what is
// packed in a message and taken out of it.

#include "operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// [lead][head][key][value] of one plane, from wherever they lie.
template <class U>
struct strided_numbers {
  U* first = nullptr;
  index_t extent[4] = {};
  index_t stride[4] = {};

  GATESCAN_HD index_t count() const { return extent[0] * extent[1] * extent[2] * extent[3]; }
  GATESCAN_HD U& operator[](index_t i) const {
    const index_t value = i % extent[3], key = (i /= extent[3]) % extent[2],
                  head = (i /= extent[2]) % extent[1], lead = i / extent[1];
    return first[lead * stride[0] + head * stride[1] + key * stride[2] + value * stride[3]];
  }
};

/// f(numbers of a plane) of x, whose axes have these extents.
template <class U, class F>
void for_each_plane(const operand<U>& x, index_t leads, index_t heads, index_t keys, index_t values,
                    F&& f) {
  const auto plane = [&](U* first) {
    if (x.given && first != nullptr)
      f(strided_numbers<U>{first, {leads, heads, keys, values}, {x.batch, x.head, x.key, x.value}});
  };
  plane(x.re), plane(x.im);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
