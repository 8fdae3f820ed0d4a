// A computation on operands in the host's memory: they are copied to the device and the results
// back around each call.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device.hpp"

namespace device_calls {

/// Planned once for one size: the scratch comes with it, the copies of operands and results come
/// with the first call of each direction and are kept.
class staged_call {
 public:
  /// `like` says mode, chunk and size. `where` must outlive this.
  staged_call(device& where, const std::string& recurrence, const std::string& format,
              const call& like);

  /// The views to be filled in before each run(): the host's memory, any strides, but in results
  /// none of 0.
  call host;
  /// Returns when the results are there.
  void run();

 private:
  struct plane {
    std::shared_ptr<void> memory;
    std::int64_t bytes = 0;
  };
  struct result {
    const plain_view* to;
    plain_view from;
  };

  plane& room(std::int64_t bytes);
  plain_view on_device(const plain_view& x, bool read);
  plain_view result_of(const plain_view& x);
  void fetch(const void* from, void* to, const plain_view& x);

  device& device_;
  const computation& computation_;
  std::shared_ptr<void> scratch_;
  std::size_t scratch_bytes_;
  call there_;  // `host`, with views of the device's memory
  std::vector<plane> forward_, backward_;
  std::vector<plane>* planes_ = nullptr;  // of this run's direction
  std::size_t used_ = 0;
  std::vector<result> results_;
  std::vector<std::byte> packed_;
};

}  // namespace device_calls
