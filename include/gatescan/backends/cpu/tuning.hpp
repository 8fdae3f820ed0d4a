#pragma once
// What was tuned on machines: every such number of this backend but those that follow from the
// count of registers (simd/matmul.hpp). Where the bits of a result depend on one it says so.

#include "../../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

struct tuning_parameters {
  // ---- chunks of tokens (bits depend on them)

  // Tokens of a subchunk. Chunked GLA, K = V = 128: 16 / 32 / 64 took 12.9 / 13.2 / 14.5 ms; the
  // running products of 16 gates need no anchors either.
  int subchunk_tokens = 16;
  // Tokens of a diagonal recurrence that go through prologue, recurrence and epilogue together:
  // what they share stays in L1. Not measured yet against 8 or 32.
  index_t tokens_together = 16;
  // Chunks of a diagonal recurrence without keys in recurrent and scan mode: a token is so little
  // work that they have to be long. Not measured yet against 32 or 128.
  index_t chunk_without_keys = 64;
  // Heads of one key and one value: tokens a chunk, heads a block. Rows are read in pieces of some
  // lines, a block's states stay in L1. Not measured yet against 32 or 128.
  index_t scalar_heads_chunk = 64, scalar_heads_width = 64;

  // Averages of channels: tokens a chunk forward. Not measured yet against 16 or 256.
  index_t channel_averages_chunk = 64;
  // Tokens of them whose weights count against one m: 4 / 8 / 16 took 18.1 / 12.4 / 22.1 ms (rwkv4,
  // B 8, L 4096, D 512, AVX-512): rows a power of two apart share a few sets of the first cache.
  index_t averages_together = 8;

  // Numbers of a head's state from which on chunks are faster than one token after another, which
  // automatic mode asks. Float, L 256, 4 heads, one after another / in chunks, us (AVX2, Zen 3, one
  // core): GLA with a gate a key, forward, K = V = 32 121 / 166, 64 386 / 396, 128 1434 / 1221,
  // backward 24 483 / 506, 32 648 / 606, 64 2167 / 1423; with a gate a head, forward K 64, V 32
  // 206 / 224, K 128, V 64 735 / 649, backward 8 147 / 197, 16 275 / 278, 32 641 / 475; GateLoop,
  // forward 16 134 / 169, 32 367 / 345, 64 1263 / 888, backward 16 616 / 638, 32 1750 / 1358.
  struct least_state {
    index_t forward, backward;
  };
  least_state chunks_of_key_gates{8192, 1024}, chunks_of_head_gates{4096, 256},
      chunks_of_rotating_gates{1024, 512};

  // Numbers of a head's state up to which backward of a corrected transition takes chunks of one
  // subchunk, not of two: pairs across subchunks cost more than the states that are kept then. With
  // 16 / 32 tokens, ms (AVX-512, Zen 5, one thread, float): rwkv7, K = V = 64, 12 heads, L 2048
  // 22.8 / 25.8, 4 heads, L 16384 69 / 79; gated_delta_net, K = V = 64, 8 heads, L 2048, a gate a
  // key 10.9 / 11.9, a gate a head 10.3 / 10.9; but K = V = 128, 2 heads, L 16384, where those
  // states are 180 MB, 112 / 101 and 106 / 93.
  index_t corrected_in_single_subchunks = 4096;

  // ---- blocks of channels (bits of gradients that channels share depend on them)

  // Rows of memory are read in long pieces: selective scan with N 4 and four sequences, D 1536,
  // took 42 ms with 256 channels a block, 36 with 512 and more, backward 105 and 100 (AVX2, one
  // core).
  index_t least_channels = 256;
  // Numbers of a block's states that stay in L1 (selective scan, N 16: 512 channels).
  index_t most_block_states = 8192;
  // Blocks that are enough for many threads. Not measured yet.
  index_t wanted_blocks = 8;

  // ---- threads and partial sums

  // Updates of a state's number that are worth a thread where the caller leaves the count to us. To
  // open and close a region of OpenMP takes 1.2 us while its threads still spin, 4 to 6 on a busy
  // machine; so many updates of GLA's step take 7 to 10 (AVX2, Zen 3).
  double updates_worth_a_thread = 65536;

  // Partial sums of shared gradients: enough to share the work out, few enough to stay small beside
  // the operands. Bits depend on it. Not measured yet against 8 or 32.
  index_t most_slots = 16;
  // Tokens of a job that adds partial sums up. Not measured yet.
  index_t tokens_a_reduction = 64;
  // Heads that go through time together, and the bytes of their states: what an outer cache holds.
  // Not measured yet against 2 MB; 16 heads of K = V = 128 need 1.1 MB.
  index_t most_heads_together = 16, states_together_bytes = 1280 << 10;
  // Heads that go back through time together, and the bytes of the states that they keep meanwhile:
  // of heads that share gradients, whose bits depend on it, and of others. GLA, K = V = 64, 12
  // heads, L 2048 (AVX-512): 1 / 4 / 6 MB took 11.0 / 10.5 / 10.4 ms, with a gate a head, K 128,
  // V 64, 24 heads 34.8 / 34.2 / 34.8 ms.
  index_t most_heads_back = 6, kept_of_sharing_bytes = index_t{16} << 20,
          kept_together_bytes = index_t{9} << 19;

  // ---- pieces of time

  // Bytes of a message of states between neighbours: several at once, while latency does not count.
  // Not measured yet against 16 or 256 KB.
  index_t message_bytes = 64 << 10;

  // ---- memory

  // Results and gradients larger than this go past the caches where they can. Not measured yet
  // against 1 or 16 MB.
  index_t cache_bytes = index_t{4} << 20;
  // Longest chunk after which the next one is asked for: what the caches hold beside this one. Not
  // measured yet against 32 or 128.
  index_t longest_look_ahead = 64;
  // Rows that are asked for in turn, so that walks of their pages overlap: GLA backward with a gate
  // a head (K 128, V 64, H 24, L 2048) takes 97 ms with 4, 106 with 1 (one core); 8 is no better.
  index_t rows_in_turn = 4;
  // How far ahead rows without keys are asked for, in rows and at least in bytes. One core,
  // AVX-512, float, L 4096, ns a register of channels with 0 / 1 / 2 / 3 rows: rg_lru in blocks of
  // 256 of 512 channels 52 / 13.5 / 12.2 / 13; elementwise, B 8, D 512, 5.3 without, 3.5 with 2.
  index_t rows_ahead = 2;
  index_t rows_ahead_bytes = 1024;
};
inline constexpr tuning_parameters tuning{};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
