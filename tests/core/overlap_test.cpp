// Do two views share memory? Rows that interleave in one buffer do not; what cannot be told is
// taken to overlap. Checked against the set of bytes that each view touches.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <set>
#include <vector>

#include "../support/generate.hpp"

namespace {

using gatescan::index_t, gatescan::layout, gatescan::view;
using gatescan::detail::check_apart, gatescan::detail::footprint_of, gatescan::detail::overlap;

std::set<index_t> places(const layout& x, index_t first) {
  std::set<index_t> r;
  const auto walk = [&](auto&& self, int axis, index_t at) -> void {
    if (axis == x.rank) {
      r.insert(at);
      return;
    }
    for (index_t i = 0; i < x.shape[axis]; ++i) self(self, axis + 1, at + i * x.stride[axis]);
  };
  if (x.size() > 0) walk(walk, 0, first);
  return r;
}

bool meet(const std::set<index_t>& a, const std::set<index_t>& b) {
  for (const index_t place : a)
    if (b.count(place) > 0) return true;
  return false;
}

struct placed {
  layout where;
  index_t first;
};
bool library_says_overlap(std::vector<float>& memory, const placed& a, const placed& b) {
  return overlap(footprint_of("a", view<float>(memory.data() + a.first, a.where)),
                 footprint_of("b", view<float>(memory.data() + b.first, b.where)));
}

TEST(overlap, is_never_missed) {
  support::generator g(1);
  std::vector<float> memory(4000);
  int apart = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const auto random = [&g] {
      placed r{{}, 2000 + g.between(-60, 60)};
      r.where.rank = static_cast<int>(g.between(1, 3));
      for (int i = 0; i < r.where.rank; ++i)
        r.where.shape[i] = g.between(0, 4), r.where.stride[i] = g.between(-12, 24);
      return r;
    };
    const placed a = random(), b = random();
    const bool truth = meet(places(a.where, a.first), places(b.where, b.first));
    const bool said = library_says_overlap(memory, a, b);
    ASSERT_TRUE(said || !truth) << "trial " << trial;
    apart += !said;
  }
  EXPECT_GT(apart, 5000);  // it does not call everything an overlap
}

// q, k and v as columns of one matrix, forwards and with time backwards
TEST(overlap, columns_of_one_matrix_are_apart) {
  std::vector<float> memory(600);
  const index_t L = 10, H = 2, K = 8, row = 3 * H * K;
  for (const index_t direction : {1, -1}) {
    const layout column({1, L, H, K}, {L * row, direction * row, K, 1});
    const index_t first = direction > 0 ? 0 : (L - 1) * row;
    for (const index_t i : {0, 1, 2})
      for (const index_t j : {0, 1, 2})
        EXPECT_EQ(
            library_says_overlap(memory, {column, first + i * H * K}, {column, first + j * H * K}),
            i == j);
  }
}

TEST(overlap, nothing_overlaps_with_no_elements) {
  std::vector<float> memory(8);
  EXPECT_FALSE(library_says_overlap(memory, {layout{2, 0, 3}, 0}, {layout{8}, 0}));
}

// of one result with itself
TEST(overlap, axes_in_any_order_and_with_gaps_nest) {
  using gatescan::detail::axes_nest;
  EXPECT_TRUE(axes_nest(layout({3, 4, 5}, {1, 3, 12})));
  EXPECT_TRUE(axes_nest(layout({3, 4, 5}, {-40, 10, 2})));
  EXPECT_TRUE(axes_nest(layout({3, 1, 5}, {5, 5, 1})));
  EXPECT_TRUE(axes_nest(layout({3, 4, 5}, {0, 5, 1})));  // a sum along the first axis
  EXPECT_FALSE(axes_nest(layout({3, 5}, {4, 1})));
  EXPECT_FALSE(axes_nest(layout({3, 5}, {1, 1})));
  EXPECT_FALSE(axes_nest(layout({2, 2, 2}, {3, 2, 1})));
}

TEST(overlap, an_error_names_both_and_the_same_view_can_be_fine) {
  std::vector<float> memory(8);
  const view<float> rows(memory.data(), {2, 4}), columns(memory.data(), {4, 2});
  const auto whole = footprint_of("out", rows), same = footprint_of("v", rows);
  const auto other = footprint_of("k", columns);
  EXPECT_NO_THROW(check_apart(whole, same, true));
  EXPECT_THROW(check_apart(whole, same, false), gatescan::shape_error);
  // as many numbers of half the width, from the same address on
  const view<gatescan::bf16> halves(reinterpret_cast<gatescan::bf16*>(memory.data()), {2, 4});
  EXPECT_THROW(check_apart(footprint_of("out", halves), same, true), gatescan::shape_error);
  try {
    check_apart(whole, other, true);  // the same memory, read in another shape
    ADD_FAILURE() << "accepted";
  } catch (const gatescan::shape_error& e) {
    EXPECT_STREQ(e.what(), "out: expected memory apart from k, got views that overlap");
  }
}

}  // namespace
