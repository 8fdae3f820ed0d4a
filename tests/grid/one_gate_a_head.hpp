// gla with one gate a head, `log_decay` [B, L, H, 1]: kernels of its own, forward and backward.
#pragma once

#include "check.hpp"

namespace grid {

// in every format T
template <class... T>
void check_one_gate_a_head() {
  for (const sizes& n : all_sizes)
    for (const gates gate : all_gates) {
      options c;
      c.gate = gate;
      c.scalar_decay = true;
      (check<gla, T>(all_modes, n, c), ...);
      c.group = n.H % 2 == 0 ? 2 : 1;
      c.sequences = n.B == 1 ? 3 : 0;
      c.initial_state = false;
      (check<gla, T>(few_modes, n, c), ...);
    }
}

}  // namespace grid
