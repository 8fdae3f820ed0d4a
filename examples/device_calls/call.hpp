// A call of a recurrence as plain numbers and pointers. The library's own types carry the flags
// that a file was compiled with in their names, so they do not go from a file that g++ compiled to
// one that nvcc compiled; these do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace device_calls {

/// Why there is nothing to call: built without CUDA, no device, a format that was left out.
struct device_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A view: extents and strides in elements of `item` bytes. rank 0: not given.
struct plain_view {
  static constexpr int most = 5;

  void* re = nullptr;
  void* im = nullptr;  // null: real
  int item = 0, rank = 0;
  std::int64_t shape[most] = {};
  std::int64_t stride[most] = {};
};

struct plain_sizes {
  std::int64_t batch = 1, time = 0, heads = 1, keys = 1, values = 1, channels = 1, groups = 1;
  std::int64_t sequences = 0;
  bool complex = false;
};

struct call {
  std::string mode;  // recurrent, scan, chunked, attention or automatic
  int chunk = 0;     // 0: the library's choice
  int segments = 0;  // of scan, 0: the library's choice
  int threads = 0;   // of the host, 0: all cores
  plain_sizes size;

  // in the order in which the recurrence lists them
  std::vector<plain_view> operands;
  std::vector<double> options;
  std::vector<plain_view> initial_state;  // a view a part
  plain_view sequence_offsets;
  plain_view out;  // of a backward call: their gradients, which it reads
  std::vector<plain_view> final_state;

  std::vector<plain_view> gradients;  // empty: this is a forward call
  std::vector<plain_view> d_initial_state;
};

/// One recurrence in one format, on operands, results and scratch in a device's memory.
struct computation {
  /// Scratch that is enough for both directions: of any call of this size, or, where `call` has
  /// gradients, of this very one. Null: a call allocates its own.
  std::size_t (*workspace_bytes)(const call&) = nullptr;
  /// Launches and returns: neither allocates nor waits. `stream` is a cudaStream_t.
  void (*run)(const call&, void* stream, std::span<std::byte> scratch) = nullptr;
};

}  // namespace device_calls
