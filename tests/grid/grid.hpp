// The grid: recurrence x mode x scalar x {forward, backward} against the oracle, over sizes, gates,
// optional operands, layouts and subsets of what is asked for. A program a recurrence.
#pragma once

#include <numeric>

#include "check.hpp"

namespace grid {

template <class Cell>
class grid : public ::testing::Test {};

template <class O>
using full_width =
    ::testing::Types<cell<O, double>, cell<O, float>, cell<O, gatescan::wide<float>>>;
template <class O>
using sixteen_bits = ::testing::Types<cell<O, gatescan::bf16>, cell<O, gatescan::half>,
                                      cell<O, gatescan::wide<gatescan::bf16>>>;

TYPED_TEST_SUITE_P(grid);

TYPED_TEST_P(grid, sizes_and_gates) {
  using O = typename TypeParam::oracle;
  for (const sizes& n : all_sizes)
    for (const gates gate : all_gates) {
      options c;
      c.gate = gate;
      check<O, typename TypeParam::scalar>(all_modes, n, c);
    }
}

TYPED_TEST_P(grid, nothing_to_do) {
  check_nothing_to_do<typename TypeParam::oracle, typename TypeParam::scalar>(all_modes);
}

// every subset of the optional operands and of the forms an operand can have
TYPED_TEST_P(grid, optional_operands) {
  using O = typename TypeParam::oracle;
  for (const int64 sequences : {0, 4})
    for (const int64 group : {1, 2})
      for (unsigned subset = 0; subset < 4u << switch_count<O>; ++subset) {
        options c;
        c.gate = subset & 1 ? gates::resets : gates::mild;
        c.sequences = sequences;
        c.group = group;
        c.initial_state = subset & 2;
        turn_all<O>(c, subset >> 2);
        check<O, typename TypeParam::scalar>(few_modes, {sequences > 0 ? 1 : 2, 13, 4, 3, 5}, c);
      }
}

TYPED_TEST_P(grid, every_layout) {
  using O = typename TypeParam::oracle;
  for (const layouts layout : all_layouts)
    for (const bool planned : {false, true}) {
      settings how;
      how.layout = layout;
      how.planned = planned;
      options c;
      c.group = 2;
      check<O, typename TypeParam::scalar>(few_modes, {2, 23, 4, 5, 3}, c, how);
    }
}

TYPED_TEST_P(grid, what_is_given_and_what_is_wanted) {
  check_given_and_wanted<typename TypeParam::oracle, typename TypeParam::scalar>(
      few_modes, {2, 21, 2, 3, 5}, [](std::size_t operands) {  // every subset
        std::vector<unsigned> subsets(std::size_t{1} << operands);
        std::iota(subsets.begin(), subsets.end(), 0u);
        return subsets;
      });
}

REGISTER_TYPED_TEST_SUITE_P(grid, sizes_and_gates, nothing_to_do, optional_operands, every_layout,
                            what_is_given_and_what_is_wanted);

}  // namespace grid
