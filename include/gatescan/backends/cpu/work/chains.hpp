#pragma once
// A chain: the segments of one agent's sequence, one after another. A state goes along it, or a
// gradient against it, and of a piece of time on to the neighbour's chain.

#include <algorithm>

#include "../tuning.hpp"
#include "call.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// What goes along chains: states of `size` numbers, from one side. `edge`: room for those of all
/// chains of a sequence, where there are neighbours.
template <agent A>
struct chains {
  using C = typename A::C;
  const call<A>& c;
  side from;
  index_t size;
  C* edge;

  /// f(first item, thread, state) for every chain. `state` is what comes from the neighbour, and
  /// afterwards what goes to the other one; nothing where there is none.
  ///
  /// Chains go in messages of some of them, so that many pieces are at work on different ones. What
  /// waits for nobody comes first: a piece's last sequence where states come from before, its first
  /// where gradients come from after.
  template <class F>
  void for_each(F&& f) const {
    const work_split& split = c.split;
    if (c.p.beside == nullptr)
      return parallel_for(c.backend, split.items() / split.segments,
                          [&](index_t chain, int thread) {
                            f(chain * split.segments, thread, static_cast<C*>(nullptr));
                          });
    for (index_t i = 0; i < split.sequences; ++i)
      pass_on(from == side::before ? split.sequences - 1 - i : i, f);
  }

 private:
  template <class F>
  void pass_on(index_t sequence, F&& f) const {
    const work_split& split = c.split;
    const bool comes = !(from == side::before ? c.p.begins(sequence) : c.p.ends(sequence));
    const bool goes = !(from == side::before ? c.p.ends(sequence) : c.p.begins(sequence));
    const index_t all = split.heads * split.value_blocks;
    const index_t bytes = size * static_cast<index_t>(sizeof(C));
    const index_t some = std::clamp<index_t>(tuning.message_bytes / bytes, 1, all);
    for (index_t first = 0; first < all; first += some) {
      const index_t count = (std::min)(some, all - first);
      C* const states = edge + first * size;
      const auto length = static_cast<std::size_t>(count * bytes);
      if (comes) c.p.beside->receive(c.p.beside->context, from, states, length);
      parallel_for(c.backend, count, [&](index_t i, int thread) {
        f((sequence * all + first + i) * split.segments, thread, states + i * size);
      });
      if (goes) c.p.beside->send(c.p.beside->context, opposite(from), states, length);
    }
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
