// A device as files that g++ compiles see it: memory, and the recurrences that can be called there.
#pragma once

#include <memory>
#include <string>

#include "call.hpp"

namespace device_calls {

/// Where operands and results lie while something is computed.
class memory {
 public:
  virtual ~memory() = default;
  /// Bytes of 0, never null. Throws where there are not so many.
  virtual std::shared_ptr<void> allocate(std::int64_t bytes) = 0;
  virtual void write(void* to, const void* from, std::int64_t bytes) = 0;
  /// Waits for what was computed.
  virtual void read(void* to, const void* from, std::int64_t bytes) = 0;
  /// The most that can be allocated now.
  virtual std::int64_t room() const = 0;
};

class device : public memory {
 public:
  /// `format` as in formats.hpp. Throws device_error where the program has no such kernels.
  virtual const computation& find(const std::string& recurrence,
                                  const std::string& format) const = 0;
  virtual void* stream() const = 0;
  /// Until all that was launched is done. Throws what went wrong there.
  virtual void wait() = 0;
};

/// The current CUDA device, with a stream of its own. Throws device_error where the program was
/// built without CUDA or the machine has no device.
std::unique_ptr<device> open_device();

}  // namespace device_calls
