#include "grid.hpp"
#include "one_gate_a_head.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(gla, grid, full_width<gla>);

TEST(gla, one_gate_a_head) { check_one_gate_a_head<double, float, gatescan::wide<float>>(); }
}  // namespace grid
