#pragma once
// Errors are thrown before the first write. Messages name the operand, what was expected and what
// came.

#include <stdexcept>
#include <string>

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

// Visible, so that an error thrown in one shared library is caught in another.

/// An operand has the wrong rank, extent, stride, planes or overlap.
struct __attribute__((visibility("default"))) shape_error : std::invalid_argument {
  GATESCAN_UNLINKED explicit shape_error(const std::string& message)
      : std::invalid_argument(message) {}
};

/// The scratch memory given is too small; the message says how much is needed.
struct __attribute__((visibility("default"))) workspace_error : std::invalid_argument {
  GATESCAN_UNLINKED explicit workspace_error(const std::string& message)
      : std::invalid_argument(message) {}
};

#if !defined(__cpp_exceptions)
/// Called with the message where the compiler has exceptions turned off. It must not return: the
/// program is stopped then.
inline void (*on_error)(const char* message) = nullptr;
#endif

}  // namespace GATESCAN_TYPES

inline namespace GATESCAN_ABI {

/// Throws Error(message); without exceptions calls `on_error`.
template <class Error>
[[noreturn, gnu::cold]] void fail(const std::string& message) {
#if defined(__cpp_exceptions)
  throw Error(message);
#else
  if (on_error != nullptr) on_error(message.c_str());
  __builtin_trap();
#endif
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
