#pragma once
// The entry points of every device that runs programs (toolbox.hpp): picks the runner for a
// recurrence. A runner knows the programs of one form of state and the order in which they run.

#include <span>

#include "../../core/problem.hpp"
#include "../../core/workspace.hpp"
#include "../../modes/schedule.hpp"
#include "diagonal/runner.hpp"
#include "map.hpp"
#include "matrix/runner.hpp"
#include "stepwise/runner.hpp"
#include "toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// f.operator()<Runner>() with the runner of a problem
template <class R, class T, class F>
auto with_runner(const problem_of<R, T>& p, F&& f) {
  if constexpr (!attention_form<R>) {
    return f.template operator()<stepwise_runner<R, T>>();
  } else if constexpr (R::gate_kind == gating::per_key) {
    return f.template operator()<matrix_runner<R, T>>();
  } else {
    if constexpr (R::number_kind != numbers::real)
      if (p.complex) return f.template operator()<diagonal_runner<R, T, true>>();
    if constexpr (R::number_kind != numbers::complex)
      return f.template operator()<diagonal_runner<R, T, false>>();
  }
}

template <device_backend Device, class R, class T>
preferences preferences_of(const Device&, const problem_of<R, T>& p) {
  return with_runner(p, [&]<class Runner>() { return Runner::preferred(p.n); });
}
template <device_backend Device, class R, class T>
int worker_count(const Device&, const problem_of<R, T>&) {
  return 1;
}

template <device_backend Device, class R, class T>
std::size_t forward_bytes(const Device&, const problem_of<R, T>& p, const schedule& plan) {
  return with_runner(p, [&]<class Runner>() {
    arena measure;
    Runner(p, plan).lay_out_forward(measure);
    return measure.bytes_needed();
  });
}
template <device_backend Device, class R, class T>
std::size_t backward_bytes(const Device&, const problem_of<R, T>& p,
                           const backward_results<R, T>& r, const schedule& plan) {
  return with_runner(p, [&]<class Runner>() {
    arena measure;
    Runner(p, plan).lay_out_backward(measure, r);
    return measure.bytes_needed();
  });
}
template <device_backend Device, class R, class T>
void run_forward(const Device& gpu, const problem_of<R, T>& p, const forward_results<T>& to,
                 const schedule& plan, std::span<std::byte> scratch) {
  with_runner(p, [&]<class Runner>() {
    arena memory(scratch);
    Runner runner(p, plan);
    runner.lay_out_forward(memory);
    runner.forward(gpu, to);
  });
}
template <device_backend Device, class R, class T>
void run_backward(const Device& gpu, const problem_of<R, T>& p, const backward_results<R, T>& r,
                  const schedule& plan, std::span<std::byte> scratch) {
  with_runner(p, [&]<class Runner>() {
    arena memory(scratch);
    Runner runner(p, plan);
    runner.lay_out_backward(memory, r);
    runner.backward(gpu, r);
  });
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
