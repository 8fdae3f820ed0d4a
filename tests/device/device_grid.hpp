// The grid (tests/grid) on a device: the same problems against the same oracles, fewer of them, so
// that an emulated device is done in seconds. Include first what says which device that is
// (backend_of).
#pragma once

#include "../grid/check.hpp"

namespace device_grid {

using namespace support;
using grid::cell, grid::check;

inline const std::vector<mode> modes{{mode::recurrent, 0}, {mode::scan, 0},     {mode::scan, 3},
                                     {mode::chunked, 0},   {mode::chunked, 1},  {mode::chunked, 5},
                                     {mode::chunked, 19},  {mode::attention, 0}};
inline const std::vector<mode> few_modes{
    {mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 5}, {mode::attention, 0}};

inline const std::vector<sizes> some_sizes{
    {1, 1, 1, 1, 1}, {1, 3, 2, 2, 1}, {2, 7, 3, 5, 2}, {1, 17, 2, 3, 7}, {1, 65, 1, 17, 3}};

template <class O>
using formats =
    ::testing::Types<cell<O, gatescan::device<double>>, cell<O, gatescan::device<float>>,
                     cell<O, gatescan::device<gatescan::bf16>>,
                     cell<O, gatescan::device<gatescan::half>>,
                     cell<O, gatescan::device<gatescan::wide<float>>>>;

// Storage of 16 bits and wide states are the same programs on other numbers: fewer problems.
template <class T>
inline constexpr unsigned every = std::is_same_v<T, gatescan::device<float>> ? 1 : 3;

template <class Cell>
class device_grid : public ::testing::Test {};
TYPED_TEST_SUITE_P(device_grid);

TYPED_TEST_P(device_grid, sizes_and_gates) {
  using O = typename TypeParam::oracle;
  using T = typename TypeParam::scalar;
  // every gate with one of the sizes, and every size with one of the gates
  for (std::size_t i = 0; i < grid::all_gates.size() + some_sizes.size(); i += every<T>) {
    options c;
    c.gate = grid::all_gates[i % grid::all_gates.size()];
    settings how;
    how.planned = true;
    check<O, T>(modes, some_sizes[i % some_sizes.size()], c, how);
  }
}

// more keys and values than a tile, and more values than a block
TYPED_TEST_P(device_grid, wide_states) {
  using O = typename TypeParam::oracle;
  for (const sizes& n : {sizes{1, 19, 1, 70, 3}, sizes{1, 19, 1, 3, 70}, sizes{1, 17, 1, 2, 130}})
    check<O, typename TypeParam::scalar>(few_modes, n, {});
}

// a tile that is whole in tokens, keys and values, and what is left beside it
TYPED_TEST_P(device_grid, whole_tiles) {
  using O = typename TypeParam::oracle;
  check<O, typename TypeParam::scalar>({{mode::chunked, 0}}, {1, 70, 1, 65, 66}, {});
}

// a plan does not know that its one sequence will come with offsets
TYPED_TEST_P(device_grid, one_packed_sequence) {
  options c;
  c.sequences = 1;
  settings how;
  how.planned = true;
  check<typename TypeParam::oracle, typename TypeParam::scalar>(few_modes, {1, 192, 1, 2, 3}, c,
                                                                how);
}

// chunks of several tiles of tokens, and several chunks
TYPED_TEST_P(device_grid, long_chunks) {
  using O = typename TypeParam::oracle;
  const std::vector<mode> long_modes{
      {mode::chunked, 100}, {mode::chunked, 0}, {mode::scan, 0}, {mode::attention, 0}};
  check<O, typename TypeParam::scalar>(long_modes, {1, 203, 1, 3, 2}, {});
}

TYPED_TEST_P(device_grid, nothing_to_do) {
  grid::check_nothing_to_do<typename TypeParam::oracle, typename TypeParam::scalar>(few_modes);
}

TYPED_TEST_P(device_grid, optional_operands) {
  using O = typename TypeParam::oracle;
  for (unsigned subset = 0; subset < 64; subset += 5 * every<typename TypeParam::scalar>) {
    options c;
    c.sequences = subset % 2 == 0 ? 4 : 0;
    c.group = subset % 4 < 2 ? 2 : 1;
    c.gate = subset & 1 ? gates::resets : gates::mild;
    c.initial_state = subset & 2;
    turn_all<O>(c, subset >> 2);
    check<O, typename TypeParam::scalar>(few_modes, {c.sequences > 0 ? 1 : 2, 13, 4, 3, 5}, c);
  }
}

TYPED_TEST_P(device_grid, every_layout) {
  using O = typename TypeParam::oracle;
  for (const layouts layout : all_layouts) {
    settings how;
    how.layout = layout;
    how.planned = true;
    options c;
    c.group = 2;
    check<O, typename TypeParam::scalar>(few_modes, {2, 9, 4, 5, 3}, c, how);
  }
}

TYPED_TEST_P(device_grid, what_is_given_and_what_is_wanted) {
  grid::check_given_and_wanted<typename TypeParam::oracle, typename TypeParam::scalar>(
      few_modes, {2, 11, 2, 3, 5}, [](std::size_t operands) {  // each alone
        std::vector<unsigned> all_but_one;
        for (std::size_t i = 0; i < operands; ++i)
          all_but_one.push_back(~(1u << i) & ((1u << operands) - 1));
        return all_but_one;
      });
}

REGISTER_TYPED_TEST_SUITE_P(device_grid, sizes_and_gates, wide_states, whole_tiles,
                            one_packed_sequence, long_chunks, nothing_to_do, optional_operands,
                            every_layout, what_is_given_and_what_is_wanted);

}  // namespace device_grid
