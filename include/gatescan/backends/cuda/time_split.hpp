#pragma once
// Time in segments, which a mode calls chunks where they are short: which tokens one has, and where
// its numbers lie in scratch. Lengths of packed sequences are known to the device only, so there
// are slots enough for any: sequence s owns those from begin / tokens + s on, and those between
// what it uses and the next one's first stay empty. Every sequence has at least one slot.

#include "../../core/operand.hpp"
#include "toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// Tokens [first, last).
struct token_range {
  index_t first = 0, last = 0;
  GATESCAN_HD index_t count() const { return last - first; }
  /// Of at most `most` tokens from t on.
  GATESCAN_HD int count_from(index_t t, int most) const {
    return static_cast<int>(last - t < most ? last - t : most);
  }
  /// The n-th token; where there is none, the last one, so that it can be read.
  GATESCAN_HD index_t clamped(int n) const { return first + n < last ? first + n : last - 1; }
};

/// A piece of a sequence: the index-th.
struct segment {
  index_t slot = 0, sequence = 0, batch = 0, index = 0;
  token_range tokens;
  bool opens = false, closes = false;  // the first or last piece of the sequence
};

struct time_split {
  const index_t* offsets = nullptr;  // of packed sequences; a plan knows none
  index_t sequences = 0, time = 0, tokens = 1, per_sequence = 1;
  bool packed = false;  // several sequences in one batch

  time_split() = default;
  GATESCAN_HD time_split(const sizes& n, const index_t* device_offsets, index_t tokens_a_segment)
      : offsets(device_offsets),
        sequences(n.sequences),
        time(n.time),
        tokens(tokens_a_segment < 1 ? 1 : tokens_a_segment),
        per_sequence(n.time > tokens ? ceil_divide(n.time, tokens) : 1),
        packed(n.sequences != n.batch) {}

  GATESCAN_HD index_t slot_count() const {
    if (sequences == 0) return 0;
    return packed ? time / tokens + sequences : sequences * per_sequence;
  }
  bool splits() const { return time > tokens; }

  // What the device finds as offsets is not checked: it is kept inside [0, time].
  GATESCAN_HD index_t offset_at(index_t i) const {
    const index_t at = offsets[i];
    return at < 0 ? 0 : at > time ? time : at;
  }
  GATESCAN_HD index_t first_token(index_t sequence) const {
    return offsets != nullptr ? offset_at(sequence) : 0;
  }
  GATESCAN_HD token_range tokens_of(index_t sequence) const {
    if (offsets == nullptr) return {0, time};
    const index_t first = offset_at(sequence), last = offset_at(sequence + 1);
    return {first, last < first ? first : last};
  }
  GATESCAN_HD index_t batch_of(index_t sequence) const { return offsets != nullptr ? 0 : sequence; }

  GATESCAN_HD index_t first_slot(index_t sequence) const {
    return packed ? first_token(sequence) / tokens + sequence : sequence * per_sequence;
  }
  GATESCAN_HD index_t used_slots(index_t sequence) const {
    const index_t length = tokens_of(sequence).count();
    return length > tokens ? ceil_divide(length, tokens) : 1;
  }
  GATESCAN_HD segment of(index_t sequence, index_t index) const {
    segment s;
    s.slot = first_slot(sequence) + index, s.sequence = sequence, s.batch = batch_of(sequence);
    s.index = index;
    const token_range all = tokens_of(sequence);
    const index_t begin = all.first + index * tokens;
    s.tokens.first = begin < all.last && index >= 0 ? begin : all.last;
    s.tokens.last = all.last - s.tokens.first < tokens ? all.last : s.tokens.first + tokens;
    s.opens = index == 0;
    s.closes = index == used_slots(sequence) - 1;
    return s;
  }
  GATESCAN_HD segment at(index_t slot) const {
    if (!packed) return of(slot / per_sequence, slot % per_sequence);
    index_t low = 0, high = sequences;  // the last sequence that starts at or before the slot
    while (high - low > 1) {
      const index_t middle = low + (high - low) / 2;
      (first_slot(middle) <= slot ? low : high) = middle;
    }
    return of(low, slot - first_slot(low));
  }
  /// The sequence that a token of a batch is in; -1: in none.
  GATESCAN_HD index_t sequence_at(index_t batch, index_t t) const {
    if (offsets == nullptr) return batch;
    index_t low = 0, high = sequences;
    while (high - low > 1) {
      const index_t middle = low + (high - low) / 2;
      (offset_at(middle) <= t ? low : high) = middle;
    }
    const token_range all = tokens_of(low);
    return t >= all.first && t < all.last ? low : -1;
  }

  // Rows for what is kept once in `chunk` tokens of every segment.
  GATESCAN_HD index_t chunk_count(index_t batches, int chunk) const {
    return batches * time / chunk + slot_count();
  }
  /// The row of the chunk that starts at token t of a segment.
  GATESCAN_HD index_t chunk_row(const segment& s, index_t t, int chunk) const {
    return (s.batch * time + s.tokens.first) / chunk + s.slot + (t - s.tokens.first) / chunk;
  }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
