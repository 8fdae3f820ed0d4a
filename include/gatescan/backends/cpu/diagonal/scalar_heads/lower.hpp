#pragma once
// Lowering: before an agent is chosen, a problem of a special shape becomes one of another form
// that runs faster.
//
//   problem                          becomes                        by
//   matrix states with K = V = 1     heads as channels, in double   problem.hpp
//
// A lowering L of a recurrence, a format and a form of work has
//
//   L::exists         whether there is anything to compile
//   L::fits(n)        whether a problem of these sizes may be lowered
//   L::applies(p)     whether this one is, now that its operands are known
//   L(p, memory)      the problem lowered: its `problem`, `results(r)`, `bytes()` of memory
//   L::agent          which runs it; finish() puts what came out where it belongs

#include <algorithm>
#include <span>

#include "problem.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, kernel_form Form>
using lowering = scalar_heads<R, T, Form>;

/// Runs f.operator()<Agent>(problem, results, memory) on the problem lowered, or says false.
template <kernel_form Form, class R, class T, class Results, class F>
bool run_lowered(const problem_of<R, T>& p, const Results& r, std::span<std::byte> scratch, F&& f) {
  using L = lowering<R, T, Form>;
  if constexpr (L::exists)
    if (L::applies(p)) {
      L low(p, scratch);
      const auto results = low.results(r);
      f.template operator()<typename L::agent>(low.problem, results, scratch.subspan(low.bytes()));
      low.finish();
      return true;
    }
  return false;
}
/// What f.operator()<Agent>(problem, results) takes on the problem lowered, if it might be: a plan
/// does not know yet which operands come.
template <kernel_form Form, class R, class T, class Results, class F>
std::size_t lowered_bytes(const problem_of<R, T>& p, const Results& r, F&& f) {
  using L = lowering<R, T, Form>;
  if constexpr (L::exists)
    if (L::fits(p.n)) {
      L low(p, {});
      const auto results = low.results(r);
      return low.bytes() + f.template operator()<typename L::agent>(low.problem, results);
    }
  return 0;
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
