#pragma once
// Time in chunks: which tokens a chunk has, and where its numbers lie in scratch. Packed sequences
// are known to the device only, so there are slots enough for any lengths: sequence s owns those
// from begin / length + s on.

#include "../../../core/problem.hpp"
#include "../toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Tokens [first, last) of a sequence.
struct token_range {
  index_t first, last;
  GATESCAN_HD index_t count() const { return last - first; }
};

/// The tokens of a sequence, inside those there are whatever the offsets say.
template <class R, class T>
GATESCAN_HD token_range tokens_of(const problem_of<R, T>& p, index_t sequence) {
  const auto clamp = [](index_t x, index_t low, index_t high) {
    return x < low ? low : x > high ? high : x;
  };
  const index_t first = clamp(p.first_token(sequence), 0, p.n.time);
  return {first, clamp(p.last_token(sequence), first, p.n.time)};
}

struct chunk_place {
  index_t sequence, batch, slot, chunk;
  token_range tokens;
};

struct time_chunks {
  index_t length = 1, a_sequence = 0, slot_count = 0;
  bool packed = false;

  time_chunks() = default;
  GATESCAN_HD time_chunks(const sizes& n, index_t tokens) : length(tokens) {
    packed = n.sequences != n.batch;
    a_sequence = ceil_divide(n.time, length);
    slot_count = packed ? n.time / length + n.sequences : n.sequences * a_sequence;
  }
  GATESCAN_HD index_t first_slot(index_t sequence, index_t first_token) const {
    return packed ? first_token / length + sequence : sequence * a_sequence;
  }
  GATESCAN_HD token_range tokens(const token_range& all, index_t chunk) const {
    const index_t first = all.first + chunk * length, last = first + length;
    if (first >= all.last) return {all.last, all.last};
    return {first, last < all.last ? last : all.last};
  }
  template <class R, class T>
  GATESCAN_HD chunk_place at(const problem_of<R, T>& p, index_t slot) const {
    index_t sequence = 0;
    if (packed) {  // the last one that starts at or before the slot
      index_t end = p.n.sequences;
      while (end - sequence > 1) {
        const index_t middle = (sequence + end) / 2;
        (first_slot(middle, tokens_of(p, middle).first) <= slot ? sequence : end) = middle;
      }
    } else {
      sequence = slot / a_sequence;
    }
    const token_range all = tokens_of(p, sequence);
    const index_t chunk = slot - first_slot(sequence, all.first);
    const token_range mine = chunk < 0 ? token_range{all.first, all.first} : tokens(all, chunk);
    return {sequence, p.batch_of(sequence), slot, chunk, mine};
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
