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
  void clear() { count_ = 0, stream_ = 0, row_ = 0, line_ = 0, left_ = 0; }

  /// Rows [t, last) of an operand of one lane.
  template <class S>
  void add(const operand<S>& x, index_t t, index_t last, index_t keys, index_t values) {
    if (!x.given || x.time == 0 || t >= last) return;
    const index_t row = x.key == 1 ? keys : x.value == 1 ? values : 1;
    add_plane(x.re, x.time, t, last, row);
    if (x.im != nullptr) add_plane(x.im, x.time, t, last, row);
  }
  /// The next part of `steps` equal ones.
  GATESCAN_INLINE void step(index_t steps) {
    for (index_t n = (total_ + steps - 1) / steps; n > 0 && left_ > 0; --n, --left_) {
      const stream& s = streams_[stream_];
      __builtin_prefetch(s.first + row_ * s.pitch + line_ * line_bytes, 0, 2);
      if (++line_ < s.lines) continue;
      line_ = 0;
      if (++row_ < s.rows) continue;
      row_ = 0, ++stream_;
    }
  }
  void begin() { total_ = left_; }

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

  stream streams_[most] = {};
  index_t count_ = 0, stream_ = 0, row_ = 0, line_ = 0, left_ = 0, total_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
