// Plain calls on a device. Which device is the includer's: gatescan::cuda where nvcc compiles this,
// an emulation of one in tests.
#pragma once

#include <gatescan/api/plan.hpp>
#include <gatescan/backends/cuda/execute.hpp>
#include <gatescan/recurrences/all.hpp>

#include "call.hpp"
#include "flatten.hpp"
#include "formats.hpp"
#include "kernels.hpp"

namespace device_calls {

template <class F>
auto with_mode(const call& c, const F& f) {
  if (c.mode == "recurrent") return f(gatescan::recurrent{});
  if (c.mode == "scan") return f(gatescan::scan{});
  if (c.mode == "attention") return f(gatescan::attention{});
  if (c.mode == "automatic") return f(gatescan::automatic{});
  if (c.mode != "chunked") throw device_error("no mode is called " + c.mode);
  return c.chunk > 0 ? f(gatescan::chunked{c.chunk}) : f(gatescan::chunked{});
}

/// Of recurrence R in format T; make(stream) is the device.
template <class R, class T, auto make>
struct calls {
  using format = gatescan::device<T>;
  using inputs = typename R::template inputs<format>;
  using outputs = typename R::template outputs<format>;
  using output_gradients = typename R::template output_gradients<format>;
  using gradients = typename R::template gradients<format>;

  static std::size_t workspace_bytes(const call& c) {
    return with_mode(c, [&](const auto& mode) {
      const gatescan::plan plan(make(nullptr), mode,
                                problem_of<typename R::template problem<format>>(c.size));
      if (c.gradients.empty()) return plan.workspace_bytes();
      return plan.workspace_bytes(inputs_of<inputs>(c), gradients_of<R, gradients>(c));
    });
  }
  static void run(const call& c, void* stream, std::span<std::byte> scratch) {
    const auto device = make(stream);
    const auto in = inputs_of<inputs>(c);
    with_mode(c, [&](const auto& mode) {
      if (c.gradients.empty())
        gatescan::forward(device, mode, in, results_of<outputs>(c), {scratch});
      else
        gatescan::backward(device, mode, in, results_of<output_gradients>(c),
                           gradients_of<R, gradients>(c), {scratch});
    });
  }
};

template <class R, auto make, class... T>
void add(table& to) {
  (to.insert({{R::name, format_name<T>()},
              {&calls<R, T, make>::workspace_bytes, &calls<R, T, make>::run}}),
   ...);
}

}  // namespace device_calls
