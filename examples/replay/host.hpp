// The host as a device: its own memory, and the library's calls on cpu{}.
#pragma once

#include "device_calls/device.hpp"

namespace replay {

class host : public device_calls::device {
 public:
  std::shared_ptr<void> allocate(std::int64_t bytes) override;
  void write(void* to, const void* from, std::int64_t bytes) override;
  void read(void* to, const void* from, std::int64_t bytes) override;
  std::int64_t room() const override;
  const device_calls::computation& find(const std::string& recurrence,
                                        const std::string& format) const override;
  void* stream() const override { return nullptr; }
  void wait() override {}
};

}  // namespace replay
