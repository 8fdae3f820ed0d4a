// The arena: what it measures without memory is enough with it, wherever the memory starts, and its
// pieces start on cache lines and do not meet.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <gatescan/gatescan.hpp>
#include <vector>

#include "../support/generate.hpp"

namespace {

using gatescan::arena;

struct piece {
  std::uintptr_t begin, end;
};

// some pieces of several types; without memory nothing may be written to them
std::vector<piece> take_pieces(arena& from, std::uint64_t seed) {
  support::generator g(seed);
  std::vector<piece> r;
  const auto note = [&r](auto* p, std::int64_t n) {
    const auto begin = reinterpret_cast<std::uintptr_t>(p);
    r.push_back({begin, begin + static_cast<std::size_t>(n) * sizeof *p});
  };
  for (int i = 0; i < 20; ++i) {
    const std::int64_t n = g.between(0, 40);
    if (g.coin())
      note(from.take<double>(n), n);
    else
      note(from.take<std::uint16_t>(n), n);
  }
  return r;
}

TEST(arena, what_it_measures_is_enough_wherever_memory_starts) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    arena measure;
    for (const piece& p : take_pieces(measure, seed)) EXPECT_EQ(p.begin, 0u);
    const std::size_t bytes = measure.bytes_needed();
    std::vector<std::byte> memory(bytes + arena::alignment);
    for (std::size_t start = 0; start < arena::alignment; ++start) {
      arena deal({memory.data() + start, bytes});
      const auto first = reinterpret_cast<std::uintptr_t>(memory.data()) + start;
      std::uintptr_t free = first;
      for (const piece& p : take_pieces(deal, seed)) {
        ASSERT_EQ(p.begin % arena::alignment, 0u);
        ASSERT_GE(p.begin, free);
        ASSERT_LE(p.end, first + bytes);
        free = p.end;
      }
    }
  }
}

TEST(arena, measures_nothing_but_its_alignment_when_empty) {
  EXPECT_EQ(arena().bytes_needed(), arena::alignment);
}

}  // namespace
