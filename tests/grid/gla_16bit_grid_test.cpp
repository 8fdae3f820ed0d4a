#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(gla, grid, sixteen_bits<gla>);
}
