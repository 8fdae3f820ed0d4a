#pragma once
// What an agent is. An agent works through the part of a problem whose time steps depend on each
// other: one head of a matrix state (matrix/), a block of channels of a diagonal one (diagonal/),
// heads that lie as channels do (diagonal/scalar_heads/), a register of channels of a user's own
// step (stepwise.hpp). work/ decides which tokens it works on, in which order and on which thread,
// and keeps the states that go from chunk to chunk: arrays of state_size() numbers, of which only
// the agent knows how they are laid out. An agent is made for one form of work, so that nothing
// else is compiled, and lives in a worker's scratch memory for one item of the work.
//
// No agent knows another, nor the work about it. Those of a problem may run at the same time: what
// an agent is given it reads, and it writes to its own places of the results alone.

#include <concepts>

#include "../../../core/problem.hpp"
#include "../../../core/workspace.hpp"
#include "../../../modes/schedule.hpp"
#include "../operands/gradients.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Forward. t, count: the tokens [t, t + count) of the sequence's batch; in, out: states, apart.
template <class A>
concept agent = requires(A agent, const A place, const typename A::problem problem,
                         const schedule how, index_t i, const sizes n, arena scratch,
                         const state_operands<const typename A::C> given,
                         const state_operands<typename A::C> to,
                         const forward_results<typename A::format> results, const typename A::C* in,
                         typename A::C* out) {
  typename A::recurrence;  // whose math it does
  typename A::format;      // how that is stored: problem is problem_of<recurrence, format>
  typename A::C;           // the numbers it computes in and states consist of

  { A::form } -> std::convertible_to<kernel_form>;         // the one it is made for
  { A::scans } -> std::convertible_to<bool>;               // is a scanning_agent
  { A::adjoint_scans } -> std::convertible_to<bool>;       // ... against time too
  { A::preferred(problem) } -> std::same_as<preferences>;  // the chunks that are fastest
  { A::value_blocks(n) } -> std::same_as<index_t>;         // agents a head: blocks of its values
  { A::adapt(how) } -> std::same_as<schedule>;             // the chunks it takes, of those wanted

  // The problem outlives it. Takes its scratch; without memory it is measured only. Last argument:
  // whether backward is called too.
  A(scratch, problem, how, true);

  agent.seek(i, i, i);  // goes to a sequence, a head and a block of values: before all that follows
  { place.sequence() } -> std::same_as<index_t>;
  { place.head() } -> std::same_as<index_t>;
  { place.batch() } -> std::same_as<index_t>;        // that the sequence lies in
  { place.first_value() } -> std::same_as<index_t>;  // of the block
  { place.value_count() } -> std::same_as<index_t>;

  { place.state_size() } -> std::same_as<index_t>;  // the same wherever it is
  place.load_state(given, out);  // from the caller's form of states; zeros where none is given
  place.store_state(to, out);    // to that form; out is used up

  agent.forward(results, i, i, in, out);  // results of the tokens, and the state after them
};

/// A segment of time has a summary, of summary_size() numbers: what its gates do to a state.
template <class A>
concept scanning_agent = agent<A> &&
    requires(A agent, const A place, index_t i, const typename A::C* in, typename A::C* out) {
  { place.summary_size() } -> std::same_as<index_t>;
  agent.advance(i, i, in, out);  // the state after tokens alone
  place.clear_summary(out);      // of no tokens
  place.extend_summary(out, i);  // by the tokens advanced last, so many of them
  // out = summary in + local, `local` being the state after the segment from a state of 0; false
  // where that is not finite, and has to be found from the tokens
  { place.apply_summary(in, in, in, out) } -> std::same_as<bool>;
};

/// What an agent that adds gradients to tiles calls round every few tokens: a subchunk, or fewer.
struct no_bracket {
  void open(index_t, index_t) const {}   // before tokens [t, t + count) are added to
  void close(index_t, index_t) const {}  // after: tiles are moved to where they belong
};

/// Backward. g: the gradient of a state, in the same layout.
template <class A>
concept differentiable_agent = agent<A> &&
    requires(A agent, const A place, index_t i, const typename A::C* in, typename A::C* out,
             const operand<storage_t<typename A::format>> gradient,
             const backward_results<typename A::recurrence, typename A::format> results,
             const typename A::tiles_of_gradients tiles) {
  typename A::targets;                                // a gradient_target of every operand
  { A::adds_lanes(gradient) } -> std::same_as<bool>;  // tiles of it hold a register a number
  { place.key_pitch() } -> std::same_as<index_t>;     // of tiles: padded keys and values
  { place.value_pitch() } -> std::same_as<index_t>;
  { place.state_tile(out) } -> std::same_as<gradient_tile<typename A::C>>;  // a state as a tile
  agent.advance(i, i, in, out);  // the state after tokens alone
  // From the state before the tokens (in) and g of the state after them, whose memory is used up:
  // adds to tiles, and returns where g of the state before them is.
  { agent.backward(results, tiles, i, i, in, out, no_bracket{}) } -> std::same_as<typename A::C*>;
};

/// Gradients of states go through segments as states do, the other way.
template <class A>
concept adjoint_scanning_agent = differentiable_agent<A> && scanning_agent<A> &&
    requires(A agent, const A place, index_t i, const typename A::C* in, typename A::C* g,
             const backward_results<typename A::recurrence, typename A::format> results) {
  agent.retreat(results, i, i, in, g);  // backward without tiles, in place
  { place.apply_summary_adjoint(in, in, in, g) } -> std::same_as<bool>;
};

// Duties that an agent may take on: it says so beside its definition.

/// Heads may go through time together. comes_next(head, t), before forward, advance, keep and
/// backward: which chunk follows.
template <class A>
inline constexpr bool heads_go_together = false;
/// comes_before(state), before backward: the state that the call after this one starts from.
template <class A>
inline constexpr bool sees_state_before = false;
/// keep(t, count, kept, out), instead of advance on the way to backward: leaves behind the state
/// `kept`, in an array of kept_size() numbers, what retreat and backward would else make once more
/// from it. After a sequence's last chunk there is no `out`.
template <class A>
inline constexpr bool keeps_more_than_states = false;
/// Neighbouring heads may share gradients, which the agent adds up while they go back together:
/// heads_that_share(problem, results, head) from a head on, is_shared(gradients, one of them),
/// and before backward shares(first, last of them) and comes_next.
template <class A>
inline constexpr bool adds_up_shared_gradients = false;
/// retreat_reads_states(problem): whether retreat's result depends on the states that it is given.
template <class A>
inline constexpr bool says_what_retreat_reads = false;
/// leave_frame(state): makes a state what `load_state` would have made of it.
template <class A>
inline constexpr bool states_in_frame = false;

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
