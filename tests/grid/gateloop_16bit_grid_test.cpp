#include "grid.hpp"
#include "single_states.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(gateloop, grid, sixteen_bits<gateloop>);

TEST(gateloop, single_states) {
  check_single_states<gatescan::bf16>();
  check_single_states<gatescan::half>();
}
}  // namespace grid
