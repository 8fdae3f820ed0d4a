// gla with one gate a head, `log_decay` [B, L, H, 1]: kernels of its own, forward and backward.
#include <gtest/gtest.h>

#include "check.hpp"

namespace grid {

template <class T>
void check_head_gates() {
  for (const sizes& n : all_sizes)
    for (const gates gate : all_gates) {
      options c;
      c.gate = gate;
      c.switches["head_gate"] = true;
      check<gla, T>(all_modes, n, c);
      c.group = n.H % 2 == 0 ? 2 : 1;
      c.sequences = n.B == 1 ? 3 : 0;
      c.initial_state = false;
      check<gla, T>(few_modes, n, c);
    }
}

TEST(gla, head_gates_of_double) { check_head_gates<double>(); }
TEST(gla, head_gates_of_float) { check_head_gates<float>(); }
TEST(gla, head_gates_of_float_in_double) { check_head_gates<gatescan::wide<float>>(); }
TEST(gla, head_gates_of_bf16) { check_head_gates<gatescan::bf16>(); }
TEST(gla, head_gates_of_half) { check_head_gates<gatescan::half>(); }
TEST(gla, head_gates_of_bf16_in_double) { check_head_gates<gatescan::wide<gatescan::bf16>>(); }

}  // namespace grid
