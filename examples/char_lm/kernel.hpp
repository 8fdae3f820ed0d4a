// One of the library's recurrences, planned once for a shape and a mode chosen at run time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <gatescan_calls.hpp>
#include <memory>
#include <string>
#include <vector>

#include "device_calls/flatten.hpp"
#include "device_calls/formats.hpp"
#include "device_calls/staged_call.hpp"
#include "execution.hpp"
#include "ranks.hpp"

#if defined(CHAR_LM_HAS_MPI)
#include <gatescan/distributed/sequence_parallel.hpp>
#endif

namespace char_lm {

/// Calls f with the mode object of this name.
template <class F>
auto with_mode(const execution& how, const F& f) {
  if (how.mode == "recurrent") return f(gatescan::recurrent{});
  if (how.mode == "scan") return f(gatescan::scan{});
  if (how.mode == "attention") return f(gatescan::attention{});
  if (how.mode == "automatic") return f(gatescan::automatic{});
  return how.chunk > 0 ? f(gatescan::chunked{how.chunk}) : f(gatescan::chunked{});
}

template <class Recurrence>
class kernel {
 public:
  using problem = typename Recurrence::template problem<float>;
  using inputs = typename Recurrence::template inputs<float>;
  using outputs = typename Recurrence::template outputs<float>;
  using output_gradients = typename Recurrence::template output_gradients<float>;
  using gradients = typename Recurrence::template gradients<float>;

  kernel() = default;
  kernel(const execution& how, const problem& size) {
    if (how.sequence != nullptr)
      make_over_ranks(how);
    else if (how.device != nullptr)
      make_on_device(how, size);
    else
      with_mode(how, [&](auto mode) { make(gatescan::cpu{.threads = how.threads}, mode, size); });
  }

  std::function<void(const inputs&, const outputs&)> forward;
  std::function<void(const inputs&, const output_gradients&, const gradients&)> backward;

 private:
  // Every rank has its piece of the sequences. What the library sums over ranks is a gradient of
  // the first one: the trainer adds up all of them.
  void make_over_ranks([[maybe_unused]] const execution& how) {
#if defined(CHAR_LM_HAS_MPI)
    const gatescan::sequence_parallel<> place{
        .comm = *static_cast<const MPI_Comm*>(how.sequence->communicator()),
        .backend = {.threads = how.threads}};
    const bool is_first = how.sequence->place() == 0;
    forward = [place](const inputs& in, const outputs& out) {
      gatescan::forward(place, gatescan::scan{}, in, out);
    };
    backward = [place, is_first](const inputs& in, const output_gradients& d_out,
                                 const gradients& d_in) {
      gatescan::backward(place, gatescan::scan{}, in, d_out, d_in);
      if (is_first) return;
      Recurrence::operands(
          [](const char*, const gatescan::axes& a, gatescan::presence, const auto& d) {
            if (!a.has(gatescan::axis::time)) clear(d);
          },
          d_in);
    };
#endif
  }
  // Dense parameters.
  static void clear(const gatescan::view<float>& d) { std::fill_n(d.data, d.size(), 0.0f); }
  static void clear(const gatescan::complex_view<float>& d) {
    for (float* const plane : {d.re, d.im})
      if (plane != nullptr) std::fill_n(plane, d.size(), 0.0f);
  }
  // Operands and results stay the host's: they are copied around each call.
  void make_on_device(const execution& how, const problem& size) {
    device_calls::call like;
    like.mode = how.mode, like.chunk = how.chunk;
    like.size = device_calls::flatten_problem(size);
    const auto planned = std::make_shared<device_calls::staged_call>(
        *how.device, Recurrence::name, device_calls::format_name<float>(), like);
    forward = [planned](const inputs& in, const outputs& out) {
      device_calls::flatten_inputs(in, planned->host);
      device_calls::flatten_results<Recurrence>(out, planned->host);
      planned->host.gradients.clear();
      planned->run();
    };
    backward = [planned](const inputs& in, const output_gradients& d_out, const gradients& d_in) {
      device_calls::flatten_inputs(in, planned->host);
      device_calls::flatten_results<Recurrence>(d_out, planned->host);
      device_calls::flatten_gradients<Recurrence>(d_in, planned->host);
      planned->run();
    };
  }
  template <class Mode>
  void make(const gatescan::cpu& where, const Mode& mode, const problem& size) {
    gatescan::plan plan{where, mode, size};
    const auto scratch = std::make_shared<std::vector<std::byte>>(plan.workspace_bytes());
    forward = [plan, scratch](const inputs& in, const outputs& out) {
      plan.forward(in, out, {*scratch});
    };
    backward = [plan, scratch](const inputs& in, const output_gradients& d_out,
                               const gradients& d_in) {
      plan.backward(in, d_out, d_in, {*scratch});
    };
  }
};

/// `heads` heads of `channels` columns each, beginning at column `first` of a matrix [tokens,
/// columns], as an operand [batch, time, heads, channels]. Nothing is copied.
inline gatescan::view<const float> head_columns(const matrix& m, const extent& size, index first,
                                                index heads, index channels) {
  return {m.data() + first,
          {size.batch, size.time, heads, channels},
          {size.time * m.cols(), m.cols(), channels, 1}};
}
inline gatescan::view<float> head_columns(matrix& m, const extent& size, index first, index heads,
                                          index channels) {
  return {m.data() + first,
          {size.batch, size.time, heads, channels},
          {size.time * m.cols(), m.cols(), channels, 1}};
}

/// The same without heads: an operand [batch, time, channels].
inline gatescan::view<const float> columns(const matrix& m, const extent& size, index first,
                                           index channels) {
  return {m.data() + first, {size.batch, size.time, channels}, {size.time * m.cols(), m.cols(), 1}};
}
inline gatescan::view<float> columns(matrix& m, const extent& size, index first, index channels) {
  return {m.data() + first, {size.batch, size.time, channels}, {size.time * m.cols(), m.cols(), 1}};
}

/// Calls fill(view) with room for maps [1, heads, time, time] and returns them one by one.
template <class Fill>
std::vector<matrix> collect_maps(index heads, index time, const Fill& fill) {
  matrix all(heads * time, time);
  fill(gatescan::view<float>{all.data(), {1, heads, time, time}});
  std::vector<matrix> maps;
  for (index h = 0; h < heads; ++h) maps.emplace_back(all.middleRows(h * time, time));
  return maps;
}

/// Milliseconds of a call as a benchmark takes them: called until memory, caches and threads are
/// warm, then the median of the calls of so many seconds, at least five; of 0 seconds one call.
template <class Call>
double median_milliseconds(double seconds, const Call& call) {
  const auto time = [&call](double enough, std::size_t least) {
    using clock = std::chrono::steady_clock;
    std::vector<double> times;
    for (double total = 0; times.size() < least || total < enough; total += times.back()) {
      const auto start = clock::now();
      call();
      times.push_back(std::chrono::duration<double, std::milli>(clock::now() - start).count());
    }
    return times;
  };
  time(250 * seconds, seconds > 0 ? 2 : 1);
  std::vector<double> times = time(1000 * seconds, seconds > 0 ? 5 : 1);
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// Times every mode on the same operands. `out` is where `outs` points.
template <class Recurrence>
std::vector<mode_time> time_modes(
    const typename Recurrence::template problem<float>& size,
    const typename Recurrence::template inputs<float>& in,
    const typename Recurrence::template outputs<float>& outs,
    const typename Recurrence::template output_gradients<float>& d_out,
    const typename Recurrence::template gradients<float>& d_in, const matrix& out,
    const execution& how) {
  std::vector<mode_time> times;
  matrix reference;
  for (const std::string& mode : mode_names) {
    const kernel<Recurrence> k({mode, how.chunk, how.threads, how.device}, size);
    const double forward = median_milliseconds(how.seconds_a_timing, [&] { k.forward(in, outs); });
    if (times.empty()) reference = out;
    const double both = median_milliseconds(how.seconds_a_timing, [&] {
      k.forward(in, outs);
      k.backward(in, d_out, d_in);
    });
    const float difference = (out - reference).cwiseAbs().maxCoeff();
    times.push_back({mode, forward, both, static_cast<double>(difference)});
  }
  return times;
}

}  // namespace char_lm
