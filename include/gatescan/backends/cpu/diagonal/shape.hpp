#pragma once
// Diagonal states (one gate a state entry): a block of channels, which lie along the lanes. Every
// channel has `keys` states.

#include "../../../core/integers.hpp"
#include "../../../core/operand.hpp"
#include "../simd/lanes.hpp"
#include "../tuning.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

struct diagonal_shape {
  index_t keys = 1, width = 0;  // states a channel; channels a block, whole registers
  index_t parts = 1;            // of a state: high and, between chunks, low

  index_t part_size() const { return keys * width; }  // one plane
};

/// Channels a block: rows of memory are read in long pieces, a block's states stay in L1, and there
/// is work for many threads. Depends on what all pieces of a sequence have in common, since states
/// go from one to the other as they lie: not on how many sequences are packed.
template <class C>
index_t diagonal_width(const sizes& n) {
  index_t width = simd::lanes<C>;
  while (width < n.values && 2 * width * n.keys <= tuning.most_block_states) {
    if (width >= tuning.least_channels &&
        n.batch * n.heads * ceil_divide(n.values, 2 * width) < tuning.wanted_blocks)
      break;
    width *= 2;
  }
  return width;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
