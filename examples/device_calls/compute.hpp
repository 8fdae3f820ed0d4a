// Plain calls on a device. Which device is the includer's: gatescan::cuda where nvcc compiles this,
// an emulation of one in tests.
#pragma once

#include <gatescan/api/plan.hpp>
#include <gatescan/backends/cuda/execute.hpp>
#include <gatescan/recurrences/all.hpp>

#include "call.hpp"
#include "formats.hpp"
#include "kernels.hpp"
#include "run_call.hpp"

namespace device_calls {

/// Of recurrence R in format T; make(stream) is the device.
template <class R, class T, auto make>
struct calls {
  using format = gatescan::device<T>;

  static std::size_t workspace_bytes(const call& c) {
    return with_mode<R>(c, [&](const auto& mode) {
      const gatescan::plan plan(make(nullptr), mode,
                                problem_of<typename R::template problem<format>>(c.size));
      if (c.gradients.empty()) return plan.workspace_bytes();
      return plan.workspace_bytes(inputs_of<typename R::template inputs<format>>(c),
                                  gradients_of<R, typename R::template gradients<format>>(c));
    });
  }
  static void run(const call& c, void* stream, std::span<std::byte> scratch) {
    run_call<R, format>(make(stream), c, scratch);
  }
};

template <class R, auto make, class... T>
void add(table& to) {
  (to.insert({{R::name, format_name<T>()},
              {&calls<R, T, make>::workspace_bytes, &calls<R, T, make>::run}}),
   ...);
}

}  // namespace device_calls
