#pragma once
// The control word of floating-point arithmetic (rounding, subnormal numbers, traps), where the
// library knows it: that of SSE.

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "../backend.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// A worker has the control word that a call wants for as long as it works for it. What the status
/// bits say happened stays.
class control_word_scope {
 public:
  /// Of the thread that calls.
  static unsigned wanted([[maybe_unused]] denormals policy) {
#if defined(__SSE2__)
    return (_mm_getcsr() & ~status) | (policy == denormals::flush ? flush : 0u);
#else
    return 0;
#endif
  }

  explicit control_word_scope([[maybe_unused]] unsigned word) {
#if defined(__SSE2__)
    before_ = _mm_getcsr() & ~status;
    changed_ = before_ != word;
    if (changed_) _mm_setcsr((_mm_getcsr() & status) | word);
#endif
  }
  control_word_scope(const control_word_scope&) = delete;
  control_word_scope& operator=(const control_word_scope&) = delete;
  ~control_word_scope() {
#if defined(__SSE2__)
    if (changed_) _mm_setcsr((_mm_getcsr() & status) | before_);
#endif
  }

 private:
#if defined(__SSE2__)
  static constexpr unsigned status = 0x3f, flush = 0x8040;
  unsigned before_ = 0;
  bool changed_ = false;
#endif
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
