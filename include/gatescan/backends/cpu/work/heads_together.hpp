#pragma once
// Heads that go through time together: the items of neighbouring chains side by side, chunk by
// chunk, so that rows which lie beside each other in memory are read at one time.

#include <algorithm>

#include "worker.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Items of neighbouring chains, on one thread.
struct group_of_items {
  index_t first, count;
  int thread;
};

/// begin(worker, item), which makes a Run, its take(worker, token, count) for every chunk, and
/// end(worker, item, run): each with the item's state in `worker.state`.
template <class Run, agent A, bool Backward, class Begin, class End>
void go_through_time(const call<A>& c, const workers<A, Backward>& all, group_of_items items,
                     index_t chunk, Begin&& begin, End&& end) {
  for (index_t done = 0; done < items.count; done += c.heads_together) {
    const index_t first = items.first + done;
    const index_t count = (std::min)(c.heads_together, items.count - done);
    worker<A, Backward> w = all.at(items.thread, first);
    typename A::C* states[static_cast<std::size_t>(tuning.most_heads_together)];
    Run runs[static_cast<std::size_t>(tuning.most_heads_together)];
    const auto for_each_item = [&](auto&& f) {
      for (index_t i = 0; i < count; ++i) {
        if (count > 1) w.seek(c, first + i);
        w.state = states[i];
        f(first + i, runs[i]);
        states[i] = w.state;
      }
    };
    for (index_t i = 0; i < count; ++i) states[i] = w.state + i * w.size();
    for_each_item([&](index_t item, Run& run) {
      run = begin(w, item);
      run.begin(w, chunk);
    });
    w.for_each_chunk(chunk, [&](index_t t, index_t tokens) {
      for_each_item([&](index_t item, Run& run) {
        if constexpr (heads_go_together<A>) {
          const bool last = item + 1 == first + count;
          w.agent.comes_next(c.head_of(last ? first : item + 1), last ? t + tokens : t);
        }
        run.take(w, t, tokens);
      });
    });
    for_each_item([&](index_t item, Run& run) { end(w, item, run); });
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
