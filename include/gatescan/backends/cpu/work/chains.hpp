#pragma once
// A chain: the segments of one agent's sequence, one after another. A state goes along it, or a
// gradient against it, and of a piece of time on to the neighbour's chain.

#include <algorithm>
#include <utility>

#include "../tuning.hpp"
#include "call.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// What goes along chains: states of `size` numbers, from one side. `edge`: room for those of all
/// chains that cross, where there are neighbours. `group`: chains that go together, about.
template <agent A>
struct chains {
  using C = typename A::C;
  const call<A>& c;
  side from;
  index_t size;
  C* edge;
  index_t group = 1;

  /// Chains of which a state may come from a neighbour or go on to one.
  static index_t crossing(const call<A>& c) {
    if (c.p.beside == nullptr) return 0;
    const index_t sequences = c.split.sequences;
    return (c.p.offsets != nullptr ? std::min<index_t>(sequences, 2) : sequences) *
           c.chains_a_sequence();
  }

  /// f(first item, chains, thread, states) for groups of a sequence's chains, and when states are
  /// on their way then(first item, chains, thread). `states` is what comes from the neighbour, and
  /// afterwards what goes to the other one; nothing where there is none.
  ///
  /// States go in messages of some of them, so that many pieces are at work on different ones. What
  /// others wait for and waits for nobody comes first: a piece's last sequence where states come
  /// from before, its first where gradients come from after.
  template <class F, class Then>
  void for_each(F&& f, Then&& then) const {
    const index_t n = c.split.sequences;
    if (n == 0 || c.chains_a_sequence() == 0) return;
    const auto run = [&](index_t first, index_t end) { pass_on(first, end, f, then); };
    if (c.p.beside == nullptr || c.p.offsets == nullptr) return run(0, n);
    const bool forward = from == side::before;
    if (n > 1) forward ? run(n - 1, n) : run(0, 1);
    if (n > 2) run(1, n - 1);
    forward || n == 1 ? run(0, 1) : run(n - 1, n);
  }

 private:
  // Sequences that have the same neighbours.
  template <class F, class Then>
  void pass_on(index_t first, index_t end, F&& f, Then&& then) const {
    const bool forward = from == side::before;
    const bool comes = !(forward ? c.p.begins(first) : c.p.ends(first));
    const bool goes = !(forward ? c.p.ends(first) : c.p.begins(first));
    const index_t all = c.chains_a_sequence(), bytes = size * static_cast<index_t>(sizeof(C));
    const index_t wanted = comes || goes ? tuning.message_bytes / bytes : 1;
    const index_t a_message = std::clamp<index_t>(wanted, 1, all);
    const index_t together = (std::min)(round_up(group, a_message), all);
    const index_t groups = ceil_divide(all, together), jobs = (end - first) * groups;
    const index_t slot = c.p.offsets != nullptr && first > 0 ? 1 : first;
    const auto chains_of = [&](index_t job) {  // the first one and their number
      const index_t at = job % groups * together;
      return std::pair{(first + job / groups) * all + at, (std::min)(together, all - at)};
    };
    const auto states_of = [&](index_t chain) {
      return comes || goes ? edge + (chain - (first - slot) * all) * size
                           : static_cast<C*>(nullptr);
    };
    const index_t some = comes || goes ? c.worker_count() : jobs;
    for (index_t job = 0; job < jobs; job += some) {
      const index_t last = (std::min)(job + some, jobs);
      const auto for_each_message = [&](auto&& g) {
        for (index_t i = job; i < last; ++i) {
          const auto [chain, count] = chains_of(i);
          for (index_t at = 0; at < count; at += a_message)
            g(states_of(chain + at),
              static_cast<std::size_t>((std::min)(a_message, count - at) * bytes));
        }
      };
      const auto for_each_group = [&](auto&& g) {
        parallel_for(c.backend, last - job, [&](index_t i, int thread) {
          const auto [chain, count] = chains_of(job + i);
          g(chain, count, thread);
        });
      };
      const neighbours* const beside = c.p.beside;
      if (comes)
        for_each_message([&](C* states, std::size_t length) {
          beside->receive(beside->context, from, states, length);
        });
      for_each_group([&](index_t chain, index_t count, int thread) {
        f(chain * c.split.segments, count, thread, states_of(chain));
      });
      if (goes)
        for_each_message([&](const C* states, std::size_t length) {
          beside->send(beside->context, opposite(from), states, length);
        });
      for_each_group([&](index_t chain, index_t count, int thread) {
        then(chain * c.split.segments, count, thread);
      });
    }
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
