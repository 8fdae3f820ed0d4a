#pragma once
// Errors are thrown before the first write. Messages name the operand, what was expected and what
// came.

#include <stdexcept>
#include <string>

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// An operand has the wrong rank, extent, stride, planes or overlap.
struct shape_error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// The scratch memory given is too small; the message says how much is needed.
struct workspace_error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
