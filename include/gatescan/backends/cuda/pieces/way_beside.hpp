#pragma once
// How a device's memory comes to a neighbour, and a neighbour's to a device.

#include <utility>
#include <vector>

#include "../../../core/neighbours.hpp"
#include "../toolbox.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// States to and from neighbours: as they lie on the device where the way takes that memory, else
/// by memory of the host. copy_to_host, copy_to_device, wait_for and staging_memory are the
/// device's.
template <class Device>
class way_beside {
 public:
  way_beside(const Device& gpu, const neighbours& beside) : gpu_(gpu), beside_(beside) {}

  void receive(gatescan::side from, void* to, std::size_t bytes) {
    if (beside_.takes_device_memory) {
      wait_for(gpu_);  // the memory is ours from the stream's point of view alone
      return beside_.receive(beside_.context, from, to, bytes);
    }
    std::byte* const here = room(bytes);
    beside_.receive(beside_.context, from, here, bytes);
    copy_to_device(gpu_, to, here, bytes);
  }
  void send(gatescan::side to, const void* from, std::size_t bytes) {
    const void* here = from;
    if (!beside_.takes_device_memory) {
      std::byte* const host = room(bytes);
      copy_to_host(gpu_, host, from, bytes);
      here = host;
    }
    wait_for(gpu_);
    beside_.send(beside_.context, to, here, bytes);
  }
  /// Afterwards nothing is under way, and memory may go.
  void settle() {
    beside_.settle(beside_.context);
    if (!rooms_.empty()) wait_for(gpu_);
    rooms_.clear();
  }

 private:
  std::byte* room(std::size_t bytes) {
    return rooms_.emplace_back(staging_memory(gpu_, bytes)).get();
  }

  const Device& gpu_;
  const neighbours& beside_;
  std::vector<decltype(staging_memory(std::declval<const Device&>(), 0))> rooms_{};
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
