#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(real_elementwise, grid, sixteen_bits<real_elementwise>);
}
