#include "host.hpp"

#include <unistd.h>

#include <cstring>

#include "recurrences.hpp"

namespace replay {

std::shared_ptr<void> host::allocate(std::int64_t bytes) {
  using unit = std::max_align_t;
  return std::make_shared<unit[]>(static_cast<std::size_t>(bytes) / sizeof(unit) + 1);
}

void host::write(void* to, const void* from, std::int64_t bytes) {
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

void host::read(void* to, const void* from, std::int64_t bytes) {
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

// All there is, also what others use now: a promise of more could only end in a kill.
std::int64_t host::room() const {
  return static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

const device_calls::computation& host::find(const std::string& recurrence,
                                            const std::string& format) const {
  return host_computation(recurrence, format);
}

}  // namespace replay
