#include "grid.hpp"
#include "one_gate_a_head.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(gla, grid, sixteen_bits<gla>);

TEST(gla, one_gate_a_head) {
  check_one_gate_a_head<gatescan::bf16, gatescan::half, gatescan::wide<gatescan::bf16>>();
}
}  // namespace grid
