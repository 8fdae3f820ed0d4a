#pragma once
// Scratch memory: the caller owns it, an arena deals it out. Run with no memory, the same code
// measures what it needs.

#include <cstddef>
#include <cstdint>
#include <span>

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

/// The caller's scratch: `{scratch}` of any contiguous container of std::byte. Empty: the verb
/// allocates for itself.
struct workspace {
  std::span<std::byte> memory{};
};

}  // namespace GATESCAN_TYPES

inline namespace GATESCAN_ABI {

/// Deals out pieces that start on cache lines.
class arena {
 public:
  static constexpr std::size_t alignment = 64;

  arena() = default;  // measures only
  explicit arena(std::span<std::byte> memory)
      : at_(reinterpret_cast<std::uintptr_t>(memory.data())), begin_(at_), memory_(memory.data()) {}

  template <class T>
  T* take(std::int64_t count) {
    at_ = (at_ + alignment - 1) / alignment * alignment;
    const std::uintptr_t here = at_;
    at_ += static_cast<std::size_t>(count) * sizeof(T);
    return memory_ == nullptr ? nullptr
                              : static_cast<T*>(static_cast<void*>(memory_ + (here - begin_)));
  }
  /// Bytes that are enough wherever the caller's memory starts.
  std::size_t bytes_needed() const { return at_ - begin_ + alignment; }

 private:
  std::uintptr_t at_ = 0, begin_ = 0;
  std::byte* memory_ = nullptr;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
