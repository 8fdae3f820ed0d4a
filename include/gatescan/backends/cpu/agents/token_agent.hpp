#pragma once
// What a token agent is. It takes one token of a head, or of a block of its values, on the
// caller's own state: no kernels for runs of tokens are compiled for it. The same bits as its
// form's agent (agent.hpp) in recurrent mode.

#include <concepts>

#include "agent.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class A>
concept token_agent = requires(A agent, const typename A::problem problem, index_t i, const sizes n,
                               arena scratch, const forward_results<typename A::format> results) {
  typename A::format;                               // how the numbers of its problem are stored
  { A::value_blocks(n) } -> std::same_as<index_t>;  // agents a head: blocks of its values
  // The problem outlives it. Takes its scratch; without memory it is measured only.
  A(scratch, problem);
  // Token 0 of a sequence, a head and a block of values: its output, and the state after it in the
  // place of the one before.
  agent.step(results, i, i, i);
};

/// The token of an agent that has nothing to leave out: by its `forward`.
template <agent A>
class token_by_forward {
 public:
  using format = typename A::format;
  using problem = typename A::problem;

  static index_t value_blocks(const sizes& n) { return A::value_blocks(n); }

  token_by_forward(arena& scratch, const problem& p)
      : p_(p),
        agent_(scratch, p, schedule{}, false),
        before_(scratch.take<C>(agent_.state_size())),
        after_(scratch.take<C>(agent_.state_size())) {}

  void step(const forward_results<format>& to, index_t sequence, index_t head, index_t block) {
    agent_.seek(sequence, head, block);
    agent_.load_state(p_.initial_state, before_);
    agent_.forward(to, 0, 1, before_, after_);
    agent_.store_state(to.final_state, after_);
  }

 private:
  using C = typename A::C;
  const problem& p_;
  A agent_;
  C *before_, *after_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
