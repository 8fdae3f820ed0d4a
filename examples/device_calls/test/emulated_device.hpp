// A device for tests: its memory is the host's, and an emulation runs its kernels.
#pragma once

#include <cstring>

#include "device_calls/compute.hpp"
#include "device_calls/device.hpp"
#include "support/emulation/emulated_gpu.hpp"

namespace device_calls {

inline support::emulated_gpu emulated(void*) { return {}; }

class emulated_device final : public device {
 public:
  /// Which kernels there are.
  template <class R, class... T>
  void add_kernels() {
    add<R, emulated, T...>(kernels_);
  }

  std::shared_ptr<void> allocate(std::int64_t bytes) override {
    using unit = std::max_align_t;
    allocated_ += bytes;
    return std::make_shared<unit[]>(static_cast<std::size_t>(bytes) / sizeof(unit) + 1);
  }
  void write(void* to, const void* from, std::int64_t bytes) override {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  void read(void* to, const void* from, std::int64_t bytes) override {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  std::int64_t room() const override { return std::int64_t{1} << 30; }
  const computation& find(const std::string& recurrence, const std::string& format) const override {
    const auto at = kernels_.find({recurrence, format});
    if (at == kernels_.end()) throw device_error("no kernels of " + recurrence + " in " + format);
    return at->second;
  }
  void* stream() const override { return nullptr; }
  void wait() override {}

  std::int64_t allocated() const { return allocated_; }

 private:
  table kernels_;
  std::int64_t allocated_ = 0;
};

}  // namespace device_calls
