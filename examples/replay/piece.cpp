#include "piece.hpp"

#include <algorithm>
#include <utility>

namespace replay {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

piece::piece(std::int64_t tokens, std::vector<std::int64_t> offsets, int own, int ranks)
    : tokens_(tokens), offsets_(std::move(offsets)), own_(own), ranks_(ranks) {
  const std::int64_t rounded = ((tokens + ranks - 1) / ranks + unit - 1) / unit * unit;
  const bool fits = rounded * (ranks - 1) < tokens;
  each_ = fits ? rounded : tokens / ranks;
  longer_ = fits ? 0 : tokens % ranks;
}

range piece::tokens_of(int rank) const {
  const auto begin_of = [&](int r) {
    return std::min(tokens_, each_ * r + std::min<std::int64_t>(r, longer_));
  };
  return {begin_of(rank), rank + 1 == ranks_ ? tokens_ : begin_of(rank + 1)};
}
int piece::last_with_tokens() const {
  int last = ranks_ - 1;
  while (last > 0 && tokens_of(last).count() == 0) --last;
  return last;
}

range piece::sequences_of(int rank) const {
  const range here = tokens_of(rank);
  const bool is_last = rank == last_with_tokens();
  range found;
  bool any = false;
  const auto count = static_cast<std::int64_t>(offsets_.size()) - 1;
  for (std::int64_t s = 0; s < count; ++s) {
    const std::int64_t begin = offsets_[index(s)], end = offsets_[index(s + 1)];
    const bool crosses = begin < end && begin < here.end && end > here.begin;
    const bool lies = begin == end &&
                      ((begin >= here.begin && begin < here.end) || (is_last && begin == tokens_));
    if (!crosses && !lies) continue;
    if (!any) found.begin = s;
    any = true, found.end = s + 1;
  }
  return found;
}
bool piece::continues_on(int rank) const {
  const range some = is_packed() ? sequences_of(rank) : range{};
  return some.count() > 0 && offsets_[index(some.begin)] < tokens_of(rank).begin;
}
bool piece::goes_on_after(int rank) const {
  const range some = sequences_of(rank);
  return some.count() > 0 && offsets_[index(some.end)] > tokens_of(rank).end;
}
std::vector<std::int64_t> piece::offsets() const {
  const range here = tokens(), some = sequences();
  std::vector<std::int64_t> own;
  for (std::int64_t s = some.begin; s <= some.end; ++s)
    own.push_back(std::clamp(offsets_[index(s)], here.begin, here.end) - here.begin);
  if (some.count() == 0) own = {0};
  return own;
}

range piece::held(gatescan::axis a, std::int64_t extent, bool is_state) const {
  if (is_all()) return {0, extent};
  if (a == gatescan::axis::time) return tokens();
  if (a == gatescan::axis::sequence && is_state && is_packed()) return sequences();
  return {0, extent};
}

range piece::written(owners by, std::int64_t extent, int rank) const {
  if (by == owners::time) return tokens_of(rank);
  const range all{0, extent}, nothing;
  if (by == owners::first) return rank == 0 ? all : nothing;
  if (!is_packed()) {
    const int owner = by == owners::begins ? 0 : last_with_tokens();  // rank 0 has the first token
    return rank == owner ? all : nothing;
  }
  range some = sequences_of(rank);
  if (by == owners::begins && continues_on(rank)) ++some.begin;
  if (by == owners::ends && some.count() > 0 && goes_on_after(rank)) --some.end;
  return some;
}

}  // namespace replay
