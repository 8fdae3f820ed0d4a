// Which tokens, sequences and states of a file a rank has: ranks follow each other in time.
#pragma once

#include <cstdint>
#include <gatescan/core/operand.hpp>
#include <span>
#include <vector>

namespace replay {

struct range {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

/// Who has a part of what is written: everybody its tokens, a rank the states of the sequences that
/// begin or end there, and what all have alike the first of them.
enum class owners { time, begins, ends, first };

/// The piece of one rank. Made without arguments it is all there is.
class piece {
 public:
  piece() = default;
  /// Pieces are equal but for the last ones, of a multiple of `unit` tokens where that leaves some
  /// to each rank. `offsets`: of packed sequences, from 0 up to `tokens`, else none.
  piece(std::int64_t tokens, std::vector<std::int64_t> offsets, int own, int ranks);

  static constexpr std::int64_t unit = 16;  // tokens; scan's segments are multiples of it

  bool is_all() const { return ranks_ == 0; }
  int ranks() const { return ranks_; }
  int own() const { return own_; }
  std::int64_t all_tokens() const { return tokens_; }
  std::int64_t all_sequences() const { return static_cast<std::int64_t>(offsets_.size()) - 1; }
  range tokens() const { return tokens_of(own_); }
  bool is_packed() const { return !offsets_.empty(); }
  /// Whether the first packed sequence began on a rank before this one.
  bool continues() const { return continues_on(own_); }
  /// Packed sequences that have tokens here, or have none and lie here.
  range sequences() const { return sequences_of(own_); }
  /// The offsets of these in this rank's tokens.
  std::vector<std::int64_t> offsets() const;

  /// Of an axis with `extent` places: those that a rank reads, and those that it writes.
  range held(gatescan::axis a, std::int64_t extent, bool is_state) const;
  range written(owners by, std::int64_t extent, int rank) const;

 private:
  range tokens_of(int rank) const;
  range sequences_of(int rank) const;
  bool continues_on(int rank) const;
  bool goes_on_after(int rank) const;
  int last_with_tokens() const;

  std::int64_t tokens_ = 0, each_ = 0, longer_ = 0;  // the first `longer_` have a token more
  std::vector<std::int64_t> offsets_;
  int own_ = 0, ranks_ = 0;
};

}  // namespace replay
