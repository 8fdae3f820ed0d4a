#pragma once
// What a runner is: it knows the programs of one form of state, the order in which they run in each
// mode, and the scratch between them. execute.hpp picks one for a recurrence; there are five:
// matrix/ (a gate a row of the state), matrix/lowered/ (the same where a program makes the prologue
// first), diagonal/ (a gate a number), channel_averages/ (the same with a normaliser), stepwise/ (a
// step of its own).

#include <concepts>

#include "../../core/problem.hpp"
#include "../../core/workspace.hpp"
#include "../../modes/schedule.hpp"
#include "toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

template <class X, class R>
concept runner = requires(X runs, const sizes& n, const schedule& how,
                          const problem_of<R, typename X::format>& problem, arena& memory,
                          const some_device& device,
                          const forward_results<typename X::format>& results,
                          const backward_results<R, typename X::format>& gradients) {
  // The format of its programs: the problem's, or one of the same numbers (with_tf32).
  typename X::format;
  // One call: a problem of known shape and a mode's schedule. The problem outlives it.
  X(problem, how);
  // What modes should know of such a shape: how much of the device it fills, and the best chunk.
  { X::preferred(n) } -> std::same_as<preferences>;
  // What becomes of the schedule here: what `describe` prints.
  { runs.as_it_runs() } -> std::same_as<schedule>;
  // Takes the scratch of a direction, the same for every call of these extents: a plan measures it
  // with an arena that has no memory, and with a problem that has no operands. Before the launch.
  runs.lay_out_forward(memory);
  runs.lay_out_backward(memory, gradients);
  // Launches the programs of a direction in order: no allocation, no wait, nothing read on the host
  // that lies on the device. A final state may take the place of the initial one.
  runs.forward(device, results);
  runs.backward(device, gradients);
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
