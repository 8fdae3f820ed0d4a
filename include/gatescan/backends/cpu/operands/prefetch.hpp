#pragma once
// Asks for the rows of memory that come next, a few cache lines at a time while memory is idle.
// Rows of a head lie far apart, often one a page, where the hardware does not look ahead; all at
// once they fill the queue of outstanding misses and the core waits. Lines of several rows in turn,
// so that the walks of their pages overlap. What a chunk of a matrix state reads goes to the first
// cache (3 to 5 % better, AVX-512), the long rows of channels to the second (3 %).

#include "../../../core/integers.hpp"
#include "../../../core/operand.hpp"
#include "../tuning.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Asks for the cache line at p.
template <int Cache>
struct ask_for_line {
  GATESCAN_INLINE void operator()(const char* p) const { __builtin_prefetch(p, 0, 4 - Cache); }
};

template <int Cache, class Ask = ask_for_line<Cache>>
class prefetcher_to {
 public:
  void clear() { count_ = 0, stream_ = 0, row_ = 0, lines_ = 0, left_ = 0; }

  /// Rows [t, last) of an operand of one head.
  template <class S>
  void add(const operand<S>& x, index_t t, index_t last, index_t keys, index_t values) {
    if (!x.given || x.time == 0 || t >= last) return;
    if (is_interleaved(x, x.key)) return add_plane(x.re, x.time, t, last, 2 * keys);
    if (is_interleaved(x, x.value)) return add_plane(x.re, x.time, t, last, 2 * values);
    const index_t row = x.key == 1 ? keys : x.value == 1 ? values : 1;
    add_plane(x.re, x.time, t, last, row);
    if (x.im != nullptr) add_plane(x.im, x.time, t, last, row);
  }
  /// Rows that lie `pitch` numbers apart.
  template <class C>
  void add_rows(const C* first, index_t pitch, index_t rows, index_t row) {
    add_plane(first, pitch, 0, rows, row);
  }
  /// What was added is asked for in so many calls of `step`.
  void begin(index_t steps) { all_ = left_, a_step_ = ceil_divide(left_, steps); }
  GATESCAN_INLINE void step() { ask(a_step_ < left_ ? a_step_ : left_); }
  /// Where the registers about it are worth more than the call.
  __attribute__((noinline)) void step_apart() { step(); }
  /// What is still due when `done` of `parts` of the work are.
  void catch_up(index_t done, index_t parts) {
    const index_t due = left_ - all_ * (parts - done) / parts;
    if (due > 0) ask(due);
  }

 private:
  GATESCAN_INLINE void ask(index_t n) {
    left_ -= n;
    for (; n > 0; --n) {
      if (lines_ == 0) next_rows();
#pragma GCC unroll 4
      for (index_t r = 0; r < together; ++r) Ask()(at_ + offset_[r]);
      at_ += line_bytes, --lines_;
    }
  }

  static constexpr index_t most = 16, line_bytes = 64;
  static constexpr index_t together = tuning.rows_in_turn;
  struct stream {
    const char* first;
    index_t pitch, rows, lines;
  };
  template <class S>
  void add_plane(S* plane, index_t time, index_t t, index_t last, index_t row) {
    if (count_ == most) return;
    constexpr index_t size = static_cast<index_t>(sizeof(S));
    stream s{reinterpret_cast<const char*>(plane + t * time), time * size, last - t,
             ceil_divide(row * size, line_bytes)};
    left_ += ceil_divide(s.rows, together) * s.lines;
    streams_[count_++] = s;
  }
  void next_rows() {
    if (row_ >= streams_[stream_].rows) row_ = 0, ++stream_;
    const stream& s = streams_[stream_];
    at_ = s.first + row_ * s.pitch;
    for (index_t r = 0; r < together; ++r)  // the last one again where there are fewer
      offset_[r] = (row_ + r < s.rows ? r : s.rows - 1 - row_) * s.pitch;
    row_ += together;
    lines_ = s.lines;
  }

  stream streams_[most] = {};
  const char* at_ = nullptr;
  index_t offset_[static_cast<std::size_t>(together)] = {};
  index_t count_ = 0, stream_ = 0, row_ = 0;
  index_t lines_ = 0, left_ = 0, all_ = 0, a_step_ = 0;  // of four rows: left in these and in all
};

using prefetcher = prefetcher_to<1>;

/// Steps while something else is worked on.
struct prefetching {
  prefetcher* ahead;
  GATESCAN_INLINE void operator()() const { ahead->step(); }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
