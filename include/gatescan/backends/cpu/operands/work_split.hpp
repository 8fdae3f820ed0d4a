#pragma once
// How the work of a call is split: into items, and in backward items into slots, whose partial sums
// of gradients are added in order.

#include <algorithm>

#include "../../../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Items: sequences x heads x value blocks x segments, in this order.
struct work_split {
  index_t sequences = 0, heads = 0, value_blocks = 0, segments = 0;
  index_t slot_count = 0;
  bool packed = false;

  index_t items() const { return sequences * heads * value_blocks * segments; }
  index_t first_item(index_t slot) const { return slot * items() / slot_count; }
  index_t sequence_of(index_t item) const { return item / (heads * value_blocks * segments); }
  // the batches (or sequences, for states) that a slot touches
  index_t first_batch(index_t slot, bool by_sequence) const {
    return packed && !by_sequence ? 0 : sequence_of(first_item(slot));
  }
  index_t last_batch(index_t slot, bool by_sequence) const {
    return packed && !by_sequence ? 0 : sequence_of(first_item(slot + 1) - 1);
  }
  index_t most_batches(bool by_sequence) const {
    index_t most = 1;
    for (index_t s = 0; s < slot_count; ++s)
      most = (std::max)(most, last_batch(s, by_sequence) - first_batch(s, by_sequence) + 1);
    return most;
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
