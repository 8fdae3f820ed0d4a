#pragma once
// Where a worker stands: one item of the work, that is a lane and a segment of its time, with the
// lane's buffers in the worker's piece of the workspace.

#include <algorithm>

#include "../../../core/problem.hpp"
#include "../../../modes/schedule.hpp"
#include "../operands/gradients.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class Lane, class R, class T>
class stations {
 public:
  using C = state_t<T>;
  using problem = problem_of<R, T>;

 protected:
  stations(const cpu& backend, const problem& p, const schedule& plan)
      : backend_(backend), p_(p), plan_(Lane::adapt(plan)) {
    split_.sequences = p.n.values > 0 ? p.n.sequences : 0;
    split_.heads = p.n.heads;
    split_.value_blocks = Lane::value_blocks(p.n);
    split_.segments = Lane::scans ? plan.segments : 1;
    split_.packed = p.offsets != nullptr || p.n.sequences != p.n.batch;
  }

  // A worker's place at one item: its lane and buffers, all in the worker's piece of the workspace.
  struct station {
    Lane lane;
    C *state, *next, *g = nullptr, *kept = nullptr;
    typename Lane::tiles_of_gradients tiles{};
    index_t first = 0, last = 0;  // the item's tokens

    station(arena& scratch, const stations& d, bool backward)
        : lane(scratch, d.p_, d.plan_, backward),
          state(scratch.take<C>(d.side_by_side_ * lane.state_size())),
          next(scratch.take<C>(lane.state_size())) {
      if (!backward) return;
      g = scratch.take<C>(lane.state_size());
      const index_t longest = d.segment_tokens(d.longest_sequence());
      kept = scratch.take<C>(std::max<index_t>(longest / d.plan_.backward_chunk + 1, 1) *
                             lane.state_size());
      for_each_field<R>(
          [&](const auto& target, auto& tile) {
            tile = target.take_tile(scratch, lane.key_pitch(), lane.value_pitch());
          },
          d.targets_, tiles);
    }
    index_t size() const { return lane.state_size(); }
    template <class F>
    void for_each_run(index_t run, F&& f) {
      for (index_t t = first; t < last; t += run) f(t, (std::min)(run, last - t));
    }
    template <class F>
    void for_each_run_backwards(index_t run, F&& f) {
      if (first == last) return;
      for (index_t i = (last - first - 1) / run; i >= 0; --i)
        f(i, first + i * run, (std::min)(run, last - first - i * run));
    }
    /// States at the starts of the item's runs, from `state`.
    void keep_states(index_t run) {
      const index_t n = size();
      copy_numbers(kept, state, n);
      for_each_run(run, [&](index_t t, index_t count) {
        C* here = kept + (t - first) / run * n;
        if (t + count < last) lane.advance(t, count, here, here + n);
      });
    }
  };

  station station_at(int worker, index_t item, bool backward) {
    arena piece({pieces_ + static_cast<std::size_t>(worker) * piece_bytes_, piece_bytes_});
    station at(piece, *this, backward);
    seek(at, item);
    const index_t sequence = split_.sequence_of(item);
    const index_t begin = p_.first_token(sequence), end = p_.last_token(sequence);
    const index_t length = segment_tokens(end - begin);
    at.first = (std::min)(begin + segment_of(item) * length, end);
    at.last = (std::min)(at.first + length, end);
    return at;
  }

  void seek(station& at, index_t item) const {
    const index_t chain = item / split_.segments;
    at.lane.seek(split_.sequence_of(item), head_of(item), chain % split_.value_blocks);
  }
  index_t head_of(index_t item) const {
    return item / split_.segments / split_.value_blocks % split_.heads;
  }
  index_t segment_of(index_t item) const { return item % split_.segments; }
  index_t segment_tokens(index_t tokens) const {
    return split_.segments == 1
               ? tokens
               : round_up(ceil_divide(tokens, split_.segments), plan_.forward_chunk);
  }
  index_t longest_sequence() const {
    if (p_.offsets == nullptr) return p_.n.time;
    index_t longest = 0;
    for (index_t s = 0; s < p_.n.sequences; ++s)
      longest = (std::max)(longest, p_.last_token(s) - p_.first_token(s));
    return longest;
  }

  void take_pieces(arena& memory, bool backward) {
    arena one;
    station(one, *this, backward);
    piece_bytes_ = static_cast<std::size_t>(
        round_up(static_cast<index_t>(one.bytes_needed()), static_cast<index_t>(arena::alignment)));
    const index_t workers =
        std::max<index_t>(1, std::min<index_t>(thread_count(backend_), split_.items()));
    pieces_ = memory.take<std::byte>(workers * static_cast<index_t>(piece_bytes_));
  }

  cpu backend_;
  const problem& p_;
  schedule plan_;
  work_split split_{};
  index_t side_by_side_ = 1;  // heads that go through time together
  typename Lane::targets targets_{};

 private:
  std::byte* pieces_ = nullptr;
  std::size_t piece_bytes_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
