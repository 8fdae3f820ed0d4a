// States of one key and one value: heads run as channels there
// (backends/cpu/diagonal/scalar_heads), so that there are as many of them as make whole registers,
// tails and more than one block.
#include <gtest/gtest.h>

#include "check.hpp"

namespace grid {

template <class T>
void check_single_states() {
  const std::vector<mode> modes{{mode::recurrent, 0},
                                {mode::scan, 3},
                                {mode::chunked, 5},
                                {mode::chunked, 64},
                                {mode::attention, 0}};
  for (const int64 sequences : {0, 3})
    for (const int64 heads : {1, 9, 64, 67})
      for (int subset = 0; subset < 8; ++subset) {
        options c;
        c.gate = subset & 1 ? gates::resets : gates::near_one;
        c.sequences = sequences;
        c.initial_state = subset & 4;
        c.switches = {
            {"linear_gate", subset & 2}, {"phase", !(subset & 2)}, {"complex", subset & 4}};
        check<gateloop, T>(modes, {sequences > 0 ? 1 : 2, 70, heads, 1, 1}, c);
      }
  for (const layouts layout : all_layouts)
    for (const int64 group : {1, 3}) {  // grouped heads run as matrix states
      settings how;
      how.layout = layout;
      how.planned = group == 1;
      options c;
      c.initial_state = true;
      c.group = group;
      check<gateloop, T>(modes, {2, 19, 9, 1, 1}, c, how);
    }
}

TEST(gateloop, single_states_of_double) { check_single_states<double>(); }
TEST(gateloop, single_states_of_float) { check_single_states<float>(); }
TEST(gateloop, single_states_of_float_in_double) { check_single_states<gatescan::wide<float>>(); }
TEST(gateloop, single_states_of_16_bits) {
  check_single_states<gatescan::bf16>();
  check_single_states<gatescan::half>();
}

}  // namespace grid
