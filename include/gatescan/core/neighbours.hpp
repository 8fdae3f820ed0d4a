#pragma once
// The tokens of a problem may be a piece of time: what comes before them, or after, is with a
// neighbour, and states go from one to the other as bytes.

#include <cstddef>

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

enum class side { before, after };
constexpr side opposite(side x) { return x == side::before ? side::after : side::before; }

/// What is on either side of a piece, and the way there. States go in the backend's own form, so
/// that nothing of them is rounded: neighbours run the same kernels. Messages of one side and
/// direction come in the order in which they were sent; `receive` waits for one, and nothing fails.
/// What is sent stays where it is until `settle` has returned, which waits for all of it to leave:
/// `send` does not wait, so that a piece works on while its neighbour is not there yet.
struct neighbours {
  bool before = false;  // sequences have begun there: all, of packed ones the first
  bool after = false;   // sequences go on there: all, of packed ones the last
  void (*receive)(void* context, side from, void* data, std::size_t bytes) = nullptr;
  void (*send)(void* context, side to, const void* data, std::size_t bytes) = nullptr;
  void (*settle)(void* context) = nullptr;
  void* context = nullptr;
  bool takes_device_memory = false;  // whether both do
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
