#pragma once
// What a mode is to a backend: how tokens are worked on, in which chunks, and in how many segments
// of time.

#include <algorithm>

#include "../core/integers.hpp"
#include "../core/operand.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

enum class kernel_form {
  steps,      // one token after another
  chunks,     // surrogate attention (or a local scan) inside a chunk
  segments,   // the same, and segments of time side by side (scan)
  attention,  // one chunk is the whole sequence
};

}  // namespace GATESCAN_TYPES

inline namespace GATESCAN_ABI {

/// Depends on the shape and the mode only, never on the number of threads.
struct schedule {
  kernel_form form = kernel_form::steps;
  index_t forward_chunk = 1;  // tokens that are worked on together
  index_t backward_chunk =
      1;                 // the same in backward; states are kept at the starts of these chunks
  index_t segments = 1;  // pieces of time that run in parallel (scan)
};

/// A schedule whose form is known when it is compiled: a backend instantiates that form alone.
template <kernel_form Form>
struct scheduled : schedule {
  static constexpr kernel_form static_form = Form;
  constexpr explicit scheduled(const schedule& how) : schedule(how) { form = Form; }
};

enum class direction { forward, backward };

/// What a backend tells a mode about a problem, in its own terms. It never depends on the number of
/// threads.
struct preferences {
  static constexpr index_t usual_parts = 64;

  index_t parts = 1;                   // of the problem, that can run side by side
  index_t enough_parts = usual_parts;  // with so many of them time need not be cut
  index_t least_segment = 64;          // tokens: shorter segments do not pay
  int forward_chunk = 16;              // the chunk that is fastest
  int backward_chunk = 32;
  // whether chunks of a matrix state are faster than its tokens one after another, for operands of
  // these strides and of any
  bool chunks_pay_forward = true, chunks_pay_backward = true;
  bool chunks_always_pay_forward = true, chunks_always_pay_backward = true;

  /// Segments of time that are enough for many threads where there are few parts, none of them too
  /// short to pay.
  constexpr index_t segments(index_t longest) const {
    const index_t some = std::max<index_t>(parts, 1);
    return (std::min)((enough_parts + some - 1) / some, longest / least_segment);
  }
  constexpr bool chunks_pay(direction way) const {
    return way == direction::forward ? chunks_pay_forward : chunks_pay_backward;
  }
  constexpr bool chunks_always_pay(direction way) const {
    return way == direction::forward ? chunks_always_pay_forward : chunks_always_pay_backward;
  }
  /// So few parts that a long sequence leaves most of the machine idle.
  constexpr bool few_parts() const { return parts * 16 < enough_parts; }
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
