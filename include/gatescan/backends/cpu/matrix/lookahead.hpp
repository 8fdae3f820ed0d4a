#pragma once
// The operands that come after the chunk that is worked on are asked for meanwhile.

#include "../operands/prefetch.hpp"
#include "../tuning.hpp"
#include "reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class matrix_lookahead {
 public:
  using reader = matrix_reader<R, T>;

  /// What comes after the next chunk is not the same head's next one, but this.
  void comes_next(index_t head, index_t token) { next_head_ = head, next_token_ = token; }
  void seek() { next_token_ = -1; }

  /// Forward, [first, first + count) is worked on now. What heads share is asked for once (gla,
  /// 24 heads that read one q and k, K 128, V 64, L 2048, AVX-512: 8.0 to 8.2 ms for 8.2 to 8.4).
  template <bool WithQueries = true>
  void look_ahead(const reader& from, index_t first, index_t count) {
    memory_.clear();
    const index_t next = next_token_ >= 0 ? next_token_ : first + count;
    if (count > tuning.longest_look_ahead) return;
    for_each_field<R>(
        [&](const auto& all, const auto& own) {
          if constexpr (!WithQueries)
            if (static_cast<const void*>(&own) == &R::query(from.operands())) return;
          const auto add = [&](const auto& x) {
            memory_.add(x, next, (std::min)(next + count, from.whole().n.time), from.shape().keys,
                        from.shape().values);
          };
          if (next_token_ < 0) return add(own);
          const auto theirs = all.of_head(from.batch(), next_head_, 0);
          if (next != first || theirs.re != own.re) add(theirs);  // else it is read now
        },
        from.whole().x, from.operands());
  }
  /// In backward the chunk before [first, first + count) comes next, and gradients are written.
  void look_back(const reader& from, const backward_results<R, T>& results,
                 const typename reader::tiles_of_gradients& tiles, index_t first, index_t count) {
    memory_.clear();
    const bool other = next_token_ >= 0;
    const index_t start = from.whole().first_token(from.sequence());
    const index_t begin = other ? next_token_ : std::max<index_t>(first - count, start);
    const index_t end = other && begin == first ? first + count : first;
    const index_t head = other ? next_head_ : from.head();
    const auto add = [&](const auto& x, index_t from_token, index_t to_token) {
      memory_.add(x, from_token, to_token, from.shape().keys, from.shape().values);
    };
    for_each_field<R>(
        [&](const auto& all, const auto& own, const auto& d, const auto& tile) {
          add(other ? all.of_head(from.batch(), head, 0) : own, begin, end);
          if (d.given && tile.how != writing::stream)
            add(d.of_head(from.batch(), from.head(), 0), first, first + count);
        },
        from.whole().x, from.operands(), results.d, tiles);
    if (results.out.given) add(results.out.of_head(from.batch(), head, 0), begin, end);
  }
  /// Rows that are written meanwhile.
  template <class S>
  void add(const reader& from, const operand<S>& x, index_t first, index_t count) {
    memory_.add(x, first, first + count, from.shape().keys, from.shape().values);
  }
  /// A state, in backward: it was kept long ago.
  template <class C>
  void add_state(const matrix_shape& n, const C* state) {
    memory_.add_rows(state, n.state_pitch, n.parts * n.rows, n.value_pitch);
  }
  template <class C>
  void add_rows(const C* first, index_t rows, index_t pitch) {
    memory_.add_rows(first, pitch, rows, pitch);
  }
  void clear() { memory_.clear(); }
  prefetcher* memory() { return &memory_; }

 private:
  prefetcher memory_{};
  index_t next_head_ = 0, next_token_ = -1;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
