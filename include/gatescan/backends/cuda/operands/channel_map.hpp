#pragma once
// How channels are laid out over blocks and threads: neighbouring threads have neighbouring
// channels, and the keys of a channel are shared out to a few lanes of a warp.

#include "../../../core/operand.hpp"
#include "../toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

// One thread's share of the channels and keys.
struct channel_thread {
  index_t head = 0, value = 0, channel = 0;
  index_t key = 0;                      // its first key
  index_t channel_block = 0, tile = 0;  // of the head (or of all heads, where flat); of the keys
  int part = 0;                         // which of the channel's lanes
  bool active = false;                  // else it repeats the last channel and stores nothing
};

struct channel_map {
  index_t heads = 0, values = 0, keys = 0;
  int lanes = 1, lane_bits = 0;  // threads of a channel, a power of two
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
    while (lanes < warp_threads && lanes * per_thread < keys) lanes *= 2, ++lane_bits;
    tiles = ceil_divide(keys, lanes * per_thread);
    const index_t together = flat ? heads * values : values;
    while (block_threads < most_threads && block_threads / lanes < together) block_threads *= 2;
    channel_blocks = ceil_divide(together, block_threads / lanes);
  }
  GATESCAN_HD index_t channels() const { return heads * values; }
  GATESCAN_HD index_t blocks_a_slot() const { return channel_blocks * (flat ? 1 : heads) * tiles; }
  GATESCAN_HD int columns() const { return lanes * keys_a_thread; }  // keys of a tile

  GATESCAN_HD int width() const { return block_threads >> lane_bits; }  // channels of a block

  /// The lanes of a channel are neighbours: a warp has all keys of a few channels.
  GATESCAN_HD channel_thread at(index_t block_of_slot, int thread_of_block) const {
    const int part = thread_of_block % lanes;
    return placed(block_of_slot, thread_of_block / lanes, part, part);
  }
  /// Neighbouring threads have neighbouring channels and the same keys, which lie together.
  GATESCAN_HD channel_thread column(index_t block_of_slot, int thread_of_block) const {
    const int part = thread_of_block / width();
    return placed(block_of_slot, thread_of_block % width(), part, part * keys_a_thread);
  }

 private:
  GATESCAN_HD channel_thread placed(index_t block_of_slot, int nth, int part, int first_key) const {
    channel_thread thread;
    thread.tile = block_of_slot % tiles;
    thread.channel_block = block_of_slot / tiles;
    thread.part = part;
    thread.key = thread.tile * columns() + first_key;
    if (flat) {
      const index_t c = thread.channel_block * width() + nth;
      thread.active = c < heads * values;
      thread.channel = thread.active ? c : heads * values - 1;
      thread.head = thread.channel / values, thread.value = thread.channel % values;
    } else {
      thread.head = thread.channel_block / channel_blocks, thread.channel_block %= channel_blocks;
      const index_t j = thread.channel_block * width() + nth;
      thread.active = j < values;
      thread.value = thread.active ? j : values - 1;
      thread.channel = thread.head * values + thread.value;
    }
    return thread;
  }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
