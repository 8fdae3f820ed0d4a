#include "grid.hpp"
#include "single_states.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(gateloop, grid, full_width<gateloop>);

TEST(gateloop, single_states) {
  check_single_states<double>();
  check_single_states<float>();
  check_single_states<gatescan::wide<float>>();
}
}  // namespace grid
