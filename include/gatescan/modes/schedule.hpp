#pragma once
// What a mode is to a backend: how tokens are worked on, in which runs, and in how many segments of
// time.

#include "../core/integers.hpp"
#include "../core/operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

enum class kernel_form {
  steps,      // one token after another
  blocks,     // surrogate attention (or a local scan) inside a run
  attention,  // one run is the whole sequence
};

/// Depends on the shape and the mode only, never on the number of threads.
struct schedule {
  kernel_form form = kernel_form::steps;
  index_t forward_chunk = 1;   // tokens that are worked on together
  index_t backward_chunk = 1;  // the same in backward; states are kept at the starts of these runs
  index_t segments = 1;        // pieces of time that run in parallel (scan)
};

/// What a backend tells a mode about a problem. It never depends on the number of threads.
struct preferences {
  index_t parts = 1;  // parts of the problem that can run side by side, in the backend's terms:
                      // with `enough_parts` of them time need not be cut
  int forward_chunk = 16;  // the chunk that is fastest
  int backward_chunk = 32;

  static constexpr index_t enough_parts = 64;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
