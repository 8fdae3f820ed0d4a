#pragma once
// Every number of the CUDA backend that was chosen for speed, in one place. None of them changes an
// answer beyond rounding.

#include <algorithm>

#include "../../modes/schedule.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// None has been measured on a GPU yet; what is said of registers and memory is what nvcc 13
/// reported for sm_80 and sm_90.
struct tuning {
  int block_threads = 128;  // of nearly all programs: four warps, which share a tile's rows

  // ---- blocks a multiprocessor of programs in real floats, which get registers for so many. nvcc
  // left to itself gave those of chunks 80 to 207 registers, and where it gave few, every load was
  // waited for alone; it gave segment_scan 192, which is two blocks (bench/cuda/sass.py).
  // steps_adjoint and segment_adjoint, held so, keep 40 to 890 bytes in memory: they are not
  int chunk_blocks = 3;    // chunk_state, chunk_scan and the keys' adjoints
  int row_blocks = 2;      // the same of rows in parts: with 3 they kept 8 to 144 bytes (sm_80)
  int segment_blocks = 3;  // segment_scan, of diagonal states with keys
  int segment_state_blocks = 4;  // segment_state of these

  // ---- matrix states: tiles in shared memory
  int tile_tokens = 64;  // of the tile that a block's own side has
  int tile_bytes = 256;  // of keys (and of values) in a row of a tile: 64 float, 32 double
  int subchunk = 16;     // tokens that are paired one by one; the depth of a product
  // Scores inside a subchunk are products on matrix units, divided by the product of its gates,
  // where that is not smaller: numbers down to 2^-50 keep all their digits. Running products, which
  // take eight times the instructions, else
  float least_divisor = 0x1p-60f;
  // Tokens whose keys a thread of chunk_scan reads before it uses them: modelled, not measured. 32
  // loads under way a thread, 12 warps: 24 KB a multiprocessor, what the latency of memory asks for
  int tokens_together = 8;
  int state_value_tiles = 2;         // of 64 values, that a block of split_chunk_state goes through
  int value_depth = 16;              // values that the key side's adjoint stages together
  int most_panel_bytes = 64 * 1024;  // of 32 columns of a corrected state in shared memory
  int chunks_ahead = 4;              // that state_passing fetches before it needs them
  index_t longest_segment = 512;  // of a scan. For accuracy: inside a segment gates are multiplied
                                  // in float, and the rounding of one that stays the same adds up,
                                  // after so many tokens to 3e-5

  // ---- diagonal states: a thread has a few keys of a channel
  int keys_a_thread = 4;  // where gates are of keys
  int chunk_bytes = 64;   // of one number a token in registers, where a channel has one key
  // modelled, not measured: forward a block has 48 kB under way of two floats a token, and 128
  // blocks 6 MB; with fewer channels than that blocks are too few to ask for all that memory gives
  index_t enough_channels = 2048;  // whose tokens need not be cut: one pass over memory
  int fetched_tiles = 4;           // that a block has room for, one being worked on
  int fetched_tiles_back = 3;
  index_t least_along_time = 64;  // tokens: with fewer a block of a channel along time is idle
  int chunk_tokens = 8;           // else; half as many of numbers of more than 4 bytes
  // modelled, not measured: forward has 28 kB of shared memory a block and 128 registers a thread,
  // backward 67 kB and 168
  int run_tokens = 32;         // staged together where channels share keys; half as many of doubles
  int run_blocks = 4;          // a multiprocessor, of the forward programs there
  int run_adjoint_blocks = 3;  // of the backward one
  int most_shared_bytes = 96 * 1024;  // of a block in backward, which has fewer threads otherwise

  // ---- averages of channels
  int tokens_ahead = 8;  // whose operands a thread reads together

  // ---- a step of its own; averages too
  int history_bytes = 512;  // of states that a thread keeps between two that are stored
  int most_history_tokens = 16;

  // ---- attention map
  int map_shared_bytes = 48 * 1024;  // of a block, which has fewer threads otherwise

  // ---- how much fills a device: 132 multiprocessors with four blocks of 128 threads each
  index_t multiprocessors = 132;
  index_t full_blocks = 528;
  index_t full_threads = 131072;
  index_t terms_a_thread = 8;   // of partial sums of one number, at least, where blocks share them
  index_t wide_result = 32768;  // numbers: as many threads add partial sums of one each (modelled)
  index_t most_segments = 64;   // of time: states are passed through them one after another
  index_t least_segment = 64;   // tokens of a segment, so that summaries stay small beside operands
};
inline constexpr tuning tuned{};

/// Preferences that say how time may be split.
inline preferences with_segments(index_t time) {
  preferences best;
  best.least_segment = (std::max)(tuned.least_segment, ceil_divide(time, tuned.most_segments));
  return best;
}

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
