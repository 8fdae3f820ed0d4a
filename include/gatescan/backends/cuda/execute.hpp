#pragma once
// The entry points of every device that runs programs (toolbox.hpp): picks the runner for a
// recurrence. A runner knows the programs of one form of state and the order in which they run.

#include <span>
#include <type_traits>

#include "../../core/problem.hpp"
#include "../../core/workspace.hpp"
#include "../../modes/schedule.hpp"
#include "attention_map.hpp"
#include "backend.hpp"
#include "channel_averages/runner.hpp"
#include "diagonal/runner.hpp"
#include "matrix/lowered/runner.hpp"
#include "matrix/runner.hpp"
#include "runner.hpp"
#include "stepwise/runner.hpp"
#include "toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// The same problem and results in a format of the same numbers.
template <class U, class R, class T>
problem_of<R, U> in_format(const problem_of<R, T>& p) {
  return {p.n, p.complex, p.normalised, p.x, p.initial_state, p.offsets, p.weights, p.beside};
}
template <class U, class T>
forward_results<U> in_format(const forward_results<T>& to) {
  return {to.out, to.final_state};
}
template <class U, class R, class T>
backward_results<R, U> in_format(const backward_results<R, T>& r) {
  return {r.out, r.final_state, r.d, r.initial_state};
}

template <class Device, class T>
consteval auto matrix_format_of() {
  if constexpr (!std::is_same_v<state_t<T>, float>)
    return std::type_identity<T>();
  else if constexpr (tf32_backend<Device> && std::is_same_v<storage_t<T>, float>)
    return std::type_identity<with_tf32<T>>();
  else if constexpr (warpgroup_backend<Device> && sizeof(storage_t<T>) == 2)
    return std::type_identity<by_warpgroups<T>>();
  else
    return std::type_identity<T>();
}
template <class Device, class T>
using matrix_format = typename decltype(matrix_format_of<Device, T>())::type;

// f.operator()<Runner>(), if it is one of the recurrence
template <class Runner, class R, class F>
auto with_checked(F&& f) {
  static_assert(gpu::runner<Runner, R>, "a runner lacks a member of gpu::runner");
  return f.template operator()<Runner>();
}
// f.operator()<Runner>() with the runner of a problem
template <class Device, class R, class T, class F>
auto with_runner(const problem_of<R, T>& p, F&& f) {
  if constexpr (!attention_form<R>) {
    return with_checked<gpu::stepwise_runner<R, T>, R>(f);
  } else if constexpr (average_form<R>) {
    return with_checked<gpu::average_runner<R, T>, R>(f);
  } else if constexpr (!is_plain_product<R>) {
    return with_checked<gpu::lowered_runner<R, matrix_format<Device, T>>, R>(f);
  } else if constexpr (R::form.gate != gate_span::entry) {
    return with_checked<gpu::matrix_runner<R, matrix_format<Device, T>>, R>(f);
  } else {
    if constexpr (R::form.number != numbers::real)
      if (p.complex) return with_checked<gpu::diagonal_runner<R, T, true>, R>(f);
    if constexpr (R::form.number != numbers::complex)
      return with_checked<gpu::diagonal_runner<R, T, false>, R>(f);
  }
}

template <device_backend Device, class R, class T>
preferences preferences_of(const Device&, const problem_of<R, T>& p) {
  return with_runner<Device>(p, [&]<class Runner>() { return Runner::preferred(p.n); });
}
/// What becomes of a mode's schedule on this backend.
template <device_backend Device, class R, class T>
schedule schedule_that_runs(const Device&, const problem_of<R, T>& p, const schedule& asked) {
  return with_runner<Device>(p, [&]<class Runner>() {
    const auto problem = in_format<typename Runner::format>(p);
    return Runner(problem, asked).as_it_runs();
  });
}
template <device_backend Device, class R, class T>
const Device& for_one_call(const Device& device, const problem_of<R, T>&) {
  return device;
}
template <device_backend Device, class R, class T>
int worker_count(const Device&, const problem_of<R, T>&) {
  return 1;
}

template <device_backend Device, class R, class T>
std::size_t forward_bytes(const Device&, const problem_of<R, T>& p, const schedule& how) {
  return with_runner<Device>(p, [&]<class Runner>() {
    const auto problem = in_format<typename Runner::format>(p);
    arena measure;
    Runner(problem, how).lay_out_forward(measure);
    return measure.bytes_needed();
  });
}
template <device_backend Device, class R, class T>
std::size_t backward_bytes(const Device&, const problem_of<R, T>& p,
                           const backward_results<R, T>& r, const schedule& how) {
  return with_runner<Device>(p, [&]<class Runner>() {
    const auto problem = in_format<typename Runner::format>(p);
    arena measure;
    Runner(problem, how).lay_out_backward(measure, in_format<typename Runner::format>(r));
    return measure.bytes_needed();
  });
}
template <device_backend Device, class R, class T>
void run_forward(const Device& gpu, const problem_of<R, T>& p, const forward_results<T>& to,
                 const schedule& how, std::span<std::byte> scratch) {
  with_runner<Device>(p, [&]<class Runner>() {
    const auto problem = in_format<typename Runner::format>(p);
    arena memory(scratch);
    Runner runner(problem, how);
    runner.lay_out_forward(memory);
    runner.forward(gpu, in_format<typename Runner::format>(to));
  });
}
/// One token of streaming, which the programs of recurrent mode take.
template <device_backend Device, class R, class T>
std::size_t step_bytes(const Device& gpu, const problem_of<R, T>& p) {
  return forward_bytes(gpu, p, schedule{});
}
template <device_backend Device, class R, class T>
void run_step(const Device& gpu, const problem_of<R, T>& p, const forward_results<T>& to,
              std::span<std::byte> scratch) {
  run_forward(gpu, p, to, schedule{}, scratch);
}
template <device_backend Device, class R, class T>
void run_backward(const Device& gpu, const problem_of<R, T>& p, const backward_results<R, T>& r,
                  const schedule& how, std::span<std::byte> scratch) {
  with_runner<Device>(p, [&]<class Runner>() {
    const auto problem = in_format<typename Runner::format>(p);
    const auto results = in_format<typename Runner::format>(r);
    arena memory(scratch);
    Runner runner(problem, how);
    runner.lay_out_backward(memory, results);
    runner.backward(gpu, results);
  });
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
