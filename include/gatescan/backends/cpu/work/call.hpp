#pragma once
// What all workers of one call share.

#include "../agents/agent.hpp"
#include "../threads/parallel_for.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// One call of a verb: where it runs, on what, how, and how the work is split into items: a
/// segment of time of one agent each.
template <agent A>
struct call {
  using recurrence = typename A::recurrence;
  using format = typename A::format;
  using C = typename A::C;
  using problem = typename A::problem;

  cpu backend;
  const problem& p;
  schedule how;
  work_split split{};
  index_t heads_together = 1;     // heads that go through time side by side
  index_t heads_back = 1;         // that go back side by side, chunk by chunk
  index_t heads_sharing = 1;      // the same, where they share gradients, else 1
  typename A::targets targets{};  // of gradients, in backward

  call(const cpu& where, const problem& given, const schedule& wanted, bool by_segments)
      : backend(where), p(given), how(A::adapt(wanted)) {
    split.sequences = p.n.values > 0 ? p.n.sequences : 0;
    split.heads = p.n.heads;
    split.value_blocks = A::value_blocks(p.n);
    split.segments = by_segments ? how.segments : 1;
    split.packed = p.offsets != nullptr || p.n.sequences != p.n.batch;
  }

  index_t head_of(index_t item) const {
    return item / split.segments / split.value_blocks % split.heads;
  }
  index_t value_block_of(index_t item) const { return item / split.segments % split.value_blocks; }
  index_t segment_of(index_t item) const { return item % split.segments; }
  bool begins_sequence(index_t item) const {
    return segment_of(item) == 0 && p.begins(split.sequence_of(item));
  }
  bool ends_sequence(index_t item) const {
    return segment_of(item) == split.segments - 1 && p.ends(split.sequence_of(item));
  }

  index_t chains_a_sequence() const { return split.heads * split.value_blocks; }

  index_t segment_tokens(index_t tokens) const {
    return split.segments == 1 ? tokens
                               : round_up(ceil_divide(tokens, split.segments), how.forward_chunk);
  }
  index_t longest_sequence() const {
    if (p.offsets == nullptr) return p.n.time;
    index_t longest = 0;
    for (index_t s = 0; s < p.n.sequences; ++s)
      longest = (std::max)(longest, p.last_token(s) - p.first_token(s));
    return longest;
  }
  /// Agents at work at the same time.
  index_t worker_count() const { return std::clamp<index_t>(split.items(), 1, backend.threads); }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
