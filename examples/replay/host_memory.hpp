// The host's own memory.
#pragma once

#include "device_calls/device.hpp"

namespace replay {

class host_memory final : public device_calls::memory {
 public:
  std::shared_ptr<void> allocate(std::int64_t bytes) override;
  void write(void* to, const void* from, std::int64_t bytes) override;
  void read(void* to, const void* from, std::int64_t bytes) override;
  std::int64_t room() const override;
};

}  // namespace replay
