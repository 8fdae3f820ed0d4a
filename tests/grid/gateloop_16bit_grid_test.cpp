#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(gateloop, grid, sixteen_bits<gateloop>);
}
