// Calls on formats of a device run on one: where nvcc compiles, on a GPU; else on its emulation.
#pragma once

#include <gatescan/backends/cuda/backend.hpp>
#include <tuple>
#include <type_traits>

#if defined(__CUDACC__)

#include "../support/run.hpp"

namespace support {
using device_backend = gatescan::cuda;
}

#else

#include <gatescan/backends/cuda/execute.hpp>
#include "../support/emulation/emulated_gpu.hpp"
#include "../support/run.hpp"

namespace support {

using device_backend = emulated_gpu;

template <class T>
struct backend_of<gatescan::device<T>> {
  using format = gatescan::device<T>;
  static emulated_gpu make(const settings&) { return {}; }
};

}  // namespace support

#endif

namespace support {

template <class... O>
using those_on_a_device = decltype(std::tuple_cat(
    std::conditional_t<gatescan::cuda::runs<recurrence_of<O>>, std::tuple<std::type_identity<O>>,
                       std::tuple<>>{}...));

template <class Tuple, template <class...> class List>
struct list_of;
template <template <class...> class List, class... O>
struct list_of<std::tuple<std::type_identity<O>...>, List> {
  using type = List<O...>;
};

// The cases of the recurrences that there are kernels for.
template <template <class...> class List>
using every_device_case = typename list_of<every_case<those_on_a_device>, List>::type;

}  // namespace support
