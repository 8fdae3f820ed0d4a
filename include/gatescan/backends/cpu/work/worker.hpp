#pragma once
// A worker: an agent at one item of the work, with the states that it goes through, in its thread's
// piece of the workspace.

#include <algorithm>
#include <utility>

#include "../tuning.hpp"
#include "call.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <agent A, bool Backward>
struct worker {
  using C = typename A::C;
  using agent_type = A;

  A agent;
  C *state, *next;  // of every head that goes together; of the one worked on
  // Backward, of every head that goes together: gradient of the state; states at chunk starts
  C *g = nullptr, *kept = nullptr;
  index_t kept_step = 0, kept_size = 0;  // from a chunk to the next; of one head
  typename A::tiles_of_gradients tiles[static_cast<std::size_t>(tuning.most_heads_back)];
  index_t first = 0, last = 0;  // the item's tokens

  worker(arena& scratch, const call<A>& c)
      : agent(scratch, c.p, c.how, Backward),
        state(scratch.take<C>(c.heads_together * agent.state_size())),
        next(scratch.take<C>(agent.state_size())) {
    if constexpr (Backward) {
      g = scratch.take<C>(c.heads_back * agent.state_size());
      kept_step = kept_of_chunk(agent), kept_size = chunk_starts(c) * kept_step;
      kept = scratch.take<C>(c.heads_back * kept_size);
      // heads come one after another: what has an axis of time is flushed before the next one
      for (index_t head = 0; head < c.heads_back; ++head)
        for_each_field<typename A::recurrence>(
            [&](const auto& target, const auto& of_first, auto& tile) {
              tile = head > 0 && target.in_time()
                         ? of_first
                         : target.take_tile(scratch, agent.key_pitch(), agent.value_pitch());
            },
            c.targets, tiles[0], tiles[head]);
    }
  }

  /// States at chunk starts of an item.
  static index_t chunk_starts(const call<A>& c) {
    const index_t longest = c.segment_tokens(c.longest_sequence());
    return std::max<index_t>(longest / c.how.backward_chunk + 1, 1);
  }

  /// Bytes that a head keeps, were all of time one sequence: a plan does not know others.
  static index_t kept_over_time(const call<A>& c, const A& agent) {
    const index_t starts = c.p.n.time / c.how.backward_chunk + 1;
    return starts * kept_of_chunk(agent) * static_cast<index_t>(sizeof(C));
  }

  /// To an item: its agent's place and its tokens.
  void seek(const call<A>& c, index_t item) {
    const index_t sequence = c.split.sequence_of(item);
    agent.seek(sequence, c.head_of(item), c.value_block_of(item));
    const index_t begin = c.p.first_token(sequence), end = c.p.last_token(sequence);
    const index_t length = c.segment_tokens(end - begin);
    first = (std::min)(begin + c.segment_of(item) * length, end);
    last = (std::min)(first + length, end);
  }
  index_t size() const { return agent.state_size(); }
  /// What is kept of a chunk: the state at its start, and what an agent leaves behind it.
  C* kept_at(index_t chunk, index_t head = 0) const {
    return kept + head * kept_size + chunk * kept_step;
  }

  /// f(token, count) for every chunk of the item
  template <class F>
  void for_each_chunk(index_t tokens, F&& f) const {
    for (index_t t = first; t < last; t += tokens) f(t, (std::min)(tokens, last - t));
  }
  /// f(chunk, token, count), from the last chunk to the first
  template <class F>
  void for_each_chunk_backwards(index_t tokens, F&& f) const {
    if (first == last) return;
    for (index_t i = (last - first - 1) / tokens; i >= 0; --i)
      f(i, first + i * tokens, (std::min)(tokens, last - first - i * tokens));
  }
  /// `state` from before the item's tokens to after them.
  void advance(index_t chunk) {
    for_each_chunk(chunk, [&](index_t t, index_t count) {
      agent.advance(t, count, state, next);
      std::swap(state, next);
    });
  }
  /// The states at chunk starts, the first being `state`; of one of the heads.
  void keep_states(index_t chunk) {
    keep_first_state(0);
    for_each_chunk(chunk, [&](index_t t, index_t count) { keep_state(chunk, t, count, 0); });
  }
  void keep_first_state(index_t head) { copy_numbers(kept_at(0, head), state, size()); }
  /// That after tokens [t, t + count), a chunk.
  void keep_state(index_t chunk, index_t t, index_t count, index_t head) {
    C *const here = kept_at((t - first) / chunk, head), *const after = t + count < last
                                                                           ? here + kept_step
                                                                           : nullptr;
    if constexpr (keeps_more_than_states<A>)
      agent.keep(t, count, here, after);
    else if (after != nullptr)
      agent.advance(t, count, here, after);
  }

 private:
  static index_t kept_of_chunk(const A& agent) {
    if constexpr (keeps_more_than_states<A>)
      return agent.kept_size();
    else
      return agent.state_size();
  }
};

/// The pieces of a workspace in which the workers of a call are made, one a thread.
template <agent A, bool Backward>
class workers {
 public:
  workers() = default;
  workers(arena& memory, const call<A>& c) : call_(&c) {
    arena one;
    worker<A, Backward>(one, c);
    bytes_ =
        round_up(static_cast<index_t>(one.bytes_needed()), static_cast<index_t>(arena::alignment));
    pieces_ = memory.take<std::byte>(c.worker_count() * bytes_);
  }
  /// A thread's worker, at an item.
  worker<A, Backward> at(int thread, index_t item) const {
    arena piece({pieces_ + thread * bytes_, static_cast<std::size_t>(bytes_)});
    worker<A, Backward> w(piece, *call_);
    w.seek(*call_, item);
    return w;
  }

 private:
  const call<A>* call_ = nullptr;
  std::byte* pieces_ = nullptr;
  index_t bytes_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
