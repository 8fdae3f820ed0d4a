#pragma once
// How a diagonal problem is laid out over blocks and threads. Time is cut in segments, also where
// only the device knows the lengths of packed sequences; neighbouring threads have neighbouring
// channels; a channel's keys are shared out to a few lanes of a warp.

#include "../../../core/operand.hpp"
#include "../toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

// A piece of a sequence.
struct segment {
  index_t slot = 0, sequence = 0, batch = 0;
  index_t first = 0, last = 0;         // its tokens
  bool opens = false, closes = false;  // it has the sequence's first or last token
};

// Every sequence has at least one slot. Packed ones start at offset / tokens + sequence: the slots
// between what a sequence uses and the start of the next one stay empty.
struct time_cut {
  const index_t* offsets = nullptr;
  index_t sequences = 0, time = 0, tokens = 1, per_sequence = 1;
  bool packed = false;

  time_cut() = default;
  time_cut(const sizes& n, const index_t* device_offsets, index_t tokens_a_segment)
      : offsets(device_offsets),
        sequences(n.sequences),
        time(n.time),
        tokens(tokens_a_segment < 1 ? 1 : tokens_a_segment),
        per_sequence(n.time > tokens ? ceil_divide(n.time, tokens) : 1),
        packed(device_offsets != nullptr || n.sequences != n.batch) {}

  GATESCAN_HD index_t slot_count() const {
    if (sequences == 0) return 0;
    return packed ? time / tokens + sequences : sequences * per_sequence;
  }
  bool cuts() const { return time > tokens; }

  // What the device finds as offsets is not checked: it is kept inside [0, time].
  GATESCAN_HD index_t clamped(index_t i) const {
    const index_t at = offsets[i];
    return at < 0 ? 0 : at > time ? time : at;
  }
  GATESCAN_HD index_t first_token(index_t sequence) const { return packed ? clamped(sequence) : 0; }
  GATESCAN_HD index_t last_token(index_t sequence) const {
    if (!packed) return time;
    const index_t first = clamped(sequence), last = clamped(sequence + 1);
    return last < first ? first : last;
  }
  GATESCAN_HD index_t batch_of(index_t sequence) const { return packed ? 0 : sequence; }

  GATESCAN_HD index_t first_slot(index_t sequence) const {
    return packed ? clamped(sequence) / tokens + sequence : sequence * per_sequence;
  }
  GATESCAN_HD index_t used_slots(index_t sequence) const {
    if (!packed) return per_sequence;
    const index_t length = last_token(sequence) - first_token(sequence);
    return length > tokens ? (length + tokens - 1) / tokens : 1;
  }
  GATESCAN_HD segment of(index_t sequence, index_t piece) const {
    segment s;
    s.slot = first_slot(sequence) + piece, s.sequence = sequence, s.batch = batch_of(sequence);
    const index_t end = last_token(sequence), begin = first_token(sequence) + piece * tokens;
    s.first = begin < end && piece >= 0 ? begin : end;
    s.last = end - s.first < tokens ? end : s.first + tokens;
    s.opens = piece == 0;
    s.closes = piece == used_slots(sequence) - 1;
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
  /// The sequence that a token of packed sequences is in; -1: in none.
  GATESCAN_HD index_t sequence_of(index_t t) const {
    index_t low = 0, high = sequences;
    while (high - low > 1) {
      const index_t middle = low + (high - low) / 2;
      (clamped(middle) <= t ? low : high) = middle;
    }
    return t >= first_token(low) && t < last_token(low) ? low : -1;
  }

  // Rows for what is kept once in `run` tokens of every segment.
  GATESCAN_HD index_t runs(index_t batches, int run) const {
    return batches * time / run + slot_count();
  }
  /// The row of the run that starts at token t of a segment.
  GATESCAN_HD index_t run_row(const segment& s, index_t t, int run) const {
    return (s.batch * time + s.first) / run + s.slot + (t - s.first) / run;
  }
};

// One thread's share of the channels and keys.
struct lane {
  index_t head = 0, value = 0, channel = 0;
  index_t key = 0;                      // its first key
  index_t channel_block = 0, tile = 0;  // of the head (or of all heads, where flat); of the keys
  int part = 0;                         // which of the channel's lanes
  bool active = false;                  // else it repeats the last channel and stores nothing
};

struct channel_map {
  index_t heads = 0, values = 0, keys = 0;
  int lanes = 1;  // threads of a channel
  int keys_a_thread = 1;
  int block_threads = warp_threads;
  index_t tiles = 1;           // of keys: what the lanes of a channel hold at a time
  bool flat = true;            // a block's channels may be of several heads
  index_t channel_blocks = 0;  // a head, or all in all where flat

  channel_map() = default;
  channel_map(const sizes& n, int per_thread, bool over_heads, int most_threads = 128)
      : heads(n.heads),
        values(n.values),
        keys(n.keys),
        keys_a_thread(per_thread),
        flat(over_heads) {
    while (lanes < warp_threads && lanes * per_thread < keys) lanes *= 2;
    tiles = ceil_divide(keys, lanes * per_thread);
    const index_t together = flat ? heads * values : values;
    while (block_threads < most_threads && block_threads / lanes < together) block_threads *= 2;
    channel_blocks = ceil_divide(together, block_threads / lanes);
  }
  GATESCAN_HD index_t channels() const { return heads * values; }
  GATESCAN_HD index_t blocks_a_slot() const { return channel_blocks * (flat ? 1 : heads) * tiles; }
  GATESCAN_HD int columns() const { return lanes * keys_a_thread; }  // keys of a tile

  GATESCAN_HD lane at(index_t block_of_slot, int thread) const {
    lane l;
    l.tile = block_of_slot % tiles;
    l.channel_block = block_of_slot / tiles;
    l.part = thread % lanes;
    l.key = l.tile * columns() + l.part;
    const index_t here = thread / lanes, width = block_threads / lanes;
    if (flat) {
      const index_t c = l.channel_block * width + here;
      l.active = c < heads * values;
      l.channel = l.active ? c : heads * values - 1;
      l.head = l.channel / values, l.value = l.channel % values;
    } else {
      l.head = l.channel_block / channel_blocks, l.channel_block %= channel_blocks;
      const index_t j = l.channel_block * width + here;
      l.active = j < values;
      l.value = l.active ? j : values - 1;
      l.channel = l.head * values + l.value;
    }
    return l;
  }
};

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
