#pragma once
// Asks for the rows of memory that come next, a few cache lines at a time while memory is idle.
// Rows of a lane lie far apart, often one a page, where the hardware does not look ahead; all at
// once they fill the queue of outstanding misses and the core waits.

#include "../../core/operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

class prefetcher {
 public:
  void clear() { count_ = 0, stream_ = 0, row_ = 0, lines_ = 0, left_ = 0; }

  /// Rows [t, last) of an operand of one lane.
  template <class S>
  void add(const operand<S>& x, index_t t, index_t last, index_t keys, index_t values) {
    if (!x.given || x.time == 0 || t >= last) return;
    const index_t row = x.key == 1 ? keys : x.value == 1 ? values : 1;
    add_plane(x.re, x.time, t, last, row);
    if (x.im != nullptr) add_plane(x.im, x.time, t, last, row);
  }
  /// What was added is asked for in so many calls of `step`.
  void begin(index_t steps) { a_step_ = (left_ + steps - 1) / steps; }
  GATESCAN_INLINE void step() {
    index_t n = a_step_ < left_ ? a_step_ : left_;
    left_ -= n;
    while (n > 0) {
      if (lines_ == 0) next_row();
      index_t here = n < lines_ ? n : lines_;
      n -= here, lines_ -= here;
      for (; here > 0; --here, at_ += line_bytes) __builtin_prefetch(at_, 0, 2);
    }
  }

 private:
  static constexpr index_t most = 16, line_bytes = 64;
  struct stream {
    const char* first;
    index_t pitch, rows, lines;
  };
  template <class S>
  void add_plane(S* plane, index_t time, index_t t, index_t last, index_t row) {
    if (count_ == most) return;
    constexpr index_t size = static_cast<index_t>(sizeof(S));
    stream s{reinterpret_cast<const char*>(plane + t * time), time * size, last - t,
             (row * size + line_bytes - 1) / line_bytes};
    left_ += s.rows * s.lines;
    streams_[count_++] = s;
  }
  void next_row() {
    if (row_ == streams_[stream_].rows) row_ = 0, ++stream_;
    const stream& s = streams_[stream_];
    at_ = s.first + row_++ * s.pitch;
    lines_ = s.lines;
  }

  stream streams_[most] = {};
  const char* at_ = nullptr;
  index_t count_ = 0, stream_ = 0, row_ = 0;
  index_t lines_ = 0, left_ = 0, a_step_ = 0;  // left in the row and in all
};

/// Steps while something else is worked on.
struct prefetching {
  prefetcher* ahead;
  GATESCAN_INLINE void operator()() const { ahead->step(); }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
