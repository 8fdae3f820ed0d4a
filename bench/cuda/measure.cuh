// Checks and times one row. A result is held against the CPU library's before anything is timed;
// operands are used in turn, so that none is left in a cache from the call before.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "operands.cuh"

namespace bench_cuda {

/// Events round each call(i), i the set of operands.
template <class F>
times time_calls(cudaStream_t stream, int sets, double seconds, const F& call) {
  cudaEvent_t start = nullptr, stop = nullptr;
  check(cudaEventCreate(&start));
  check(cudaEventCreate(&stop));
  std::vector<double> taken;
  double total = 0;
  for (int i = 0; i < 5 || (total < 1e3 * seconds && i < 1000); ++i) {
    check(cudaEventRecord(start, stream));
    call(i % sets);
    check(cudaEventRecord(stop, stream));
    check(cudaEventSynchronize(stop));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start, stop));
    if (i < 2) continue;  // warm-up
    taken.push_back(static_cast<double>(milliseconds));
    total += taken.back();
  }
  check(cudaEventDestroy(start));
  check(cudaEventDestroy(stop));
  std::sort(taken.begin(), taken.end());
  times t;
  t.median = taken[taken.size() / 2], t.least = taken.front(), t.most = taken.back();
  return t;
}

/// The largest relative root mean square of a difference; of a part that is missing infinite.
inline double difference(const numbers_by_name& got, const numbers_by_name& want) {
  double worst = 0;
  for (const auto& [name, x] : got) {
    const auto y = want.find(name);
    if (y == want.end() || y->second.size() != x.size()) return INFINITY;
    double error = 0, size = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      error += (x[i] - y->second[i]) * (x[i] - y->second[i]);
      size += y->second[i] * y->second[i];
    }
    const double relative = std::sqrt(error / std::max(size, 1e-300));
    if (!(relative <= worst)) worst = relative;  // NaN is an error too
  }
  return worst;
}

template <class S>
constexpr double tolerance(bool backward) {
  if (sizeof(S) == 2) return backward ? 2e-2 : 1e-2;
  return backward ? 2e-5 : 1e-5;
}

template <class R, class T>
typename R::template problem<T> plan_of(const shape& n) {
  typename R::template problem<T> p;
  p.batch = n.batch, p.time = n.time;
  if constexpr (requires { p.states; }) {
    p.channels = n.heads, p.states = n.keys;
  } else if constexpr (!requires { p.heads; }) {
    p.channels = n.heads;
  } else {
    p.heads = n.heads;
    if constexpr (requires { p.keys; }) p.keys = n.keys, p.values = n.values;
    if constexpr (requires { p.channels; }) p.channels = n.values;
    if constexpr (requires { p.complex; }) p.complex = n.complex;
  }
  return p;
}

/// Sets of operands, so many that going through them replaces what the cache holds.
template <class R, class S>
std::vector<std::unique_ptr<problem<R, S>>> make_sets(const shape& n, const settings& how,
                                                      bool backward, bool step) {
  std::vector<std::unique_ptr<problem<R, S>>> sets;
  double held = 0;
  do {
    sets.push_back(
        std::make_unique<problem<R, S>>(n, static_cast<int>(sets.size()), backward, step));
    held += sets.back()->bytes_of_operands() + sets.back()->bytes_of_state();
  } while (held < 4.0 * static_cast<double>(how.cache) && sets.size() < 16);
  return sets;
}

/// Forward, and forward with backward, in the fastest of these modes.
template <class R, class S, class... Modes>
void measure_passes(const settings& how, row& r, const Modes&... modes) {
  const gatescan::cuda gpu{};
  const auto x = make_sets<R, S>(r.size, how, true, false);
  const int sets = static_cast<int>(x.size());
  r.sets = sets, r.operands = x[0]->recipes();
  slice forward = x[0]->cut(), backward = forward;
  backward.backward = true;
  const numbers_by_name want = reference(R::name, forward), d_want = reference(R::name, backward);

  times best[2];
  const auto in_mode = [&](const auto& mode) {
    const gatescan::plan plan(gpu, mode, plan_of<R, typename problem<R, S>::T>(r.size));
    const std::size_t bytes = plan.workspace_bytes(x[0]->in, x[0]->d);
    const array<std::byte> memory(static_cast<std::int64_t>(bytes), false, false);
    const gatescan::workspace scratch{{memory.re(), bytes}};
    const auto run_forward = [&](int i) {
      auto& o = *x[static_cast<std::size_t>(i)];
      plan.forward(o.in, o.out, scratch);
    };
    const auto run_both = [&](int i) {
      auto& o = *x[static_cast<std::size_t>(i)];
      plan.forward(o.in, o.out, scratch);
      plan.backward(o.in, o.d_out, o.d, scratch);
    };
    run_both(0);
    check(cudaDeviceSynchronize());
    const double errors[] = {difference(x[0]->cut_results(), want),
                             difference(x[0]->cut_gradients(), d_want)};
    for (const bool both : {false, true}) {
      times t;
      t.error = both ? std::max(errors[0], errors[1]) : errors[0];
      t.tolerance = tolerance<S>(both);
      const bool right = errors[0] <= tolerance<S>(false) && (!both || errors[1] <= t.tolerance);
      if (!right)
        throw cuda_failure(std::string(mode.name) + " mode is wrong: relative errors " +
                           std::to_string(errors[0]) + ", of gradients " +
                           std::to_string(errors[1]));
      times taken = both ? time_calls(gpu.stream, sets, how.seconds, run_both)
                         : time_calls(gpu.stream, sets, how.seconds, run_forward);
      taken.pass = both ? "both" : "forward", taken.mode = mode.name;
      taken.error = t.error, taken.tolerance = t.tolerance;
      const double once = x[0]->bytes_of_operands(), out = x[0]->bytes_of("out");
      taken.bytes = both ? 2 * (once + out) + x[0]->bytes_of_gradients() : once + out;
      if (best[both].median == 0 || taken.median < best[both].median) best[both] = taken;
    }
    r.results = x[0]->show(true);
  };
  (in_mode(modes), ...);
  r.passes = {best[0], best[1]};
}

/// One token: the states are read and written.
template <class R, class S>
void measure_step(const settings& how, row& r) {
  const gatescan::cuda gpu{};
  const auto x = make_sets<R, S>(r.size, how, false, true);
  r.sets = static_cast<int>(x.size()), r.operands = x[0]->recipes();
  using format = typename problem<R, S>::T;
  const gatescan::plan plan(gpu, gatescan::recurrent{}, plan_of<R, format>(r.size));
  const array<std::byte> memory(static_cast<std::int64_t>(plan.workspace_bytes()), false, false);
  const gatescan::workspace scratch{{memory.re(), plan.workspace_bytes()}};
  const auto without_time = [](auto view, const gatescan::axes& a) {
    auto rest = view;
    rest.rank = 0;
    for (int i = 0; i < view.rank; ++i) {
      if (a.of[i] == gatescan::axis::time) continue;
      rest.shape[rest.rank] = view.shape[i];
      rest.stride[rest.rank++] = view.stride[i];
    }
    return rest;
  };
  const auto step = [&](int i) {
    auto& o = *x[static_cast<std::size_t>(i)];
    typename R::template token<format> token;
    R::operands([&](const char*, const gatescan::axes& a, gatescan::presence, const auto& from,
                    auto& to) { to = without_time(from, a); },
                o.in, token);
    gatescan::step(gpu, token, o.out.final_state, without_time(o.out.out, R::out_axes), scratch);
  };
  const slice before = x[0]->cut();
  step(0);
  check(cudaDeviceSynchronize());
  const double error = difference(x[0]->cut_results(), reference(R::name, before));
  if (!(error <= tolerance<S>(false)))
    throw cuda_failure("the step is wrong: relative error " + std::to_string(error));
  times t = time_calls(gpu.stream, r.sets, how.seconds, step);
  t.pass = "step", t.mode = "recurrent", t.error = error, t.tolerance = tolerance<S>(false);
  t.bytes = x[0]->bytes_of_operands() + x[0]->bytes_of("out") + 2 * x[0]->bytes_of_state();
  r.passes = {t};
}

}  // namespace bench_cuda
