#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(selective_scan, grid, sixteen_bits<selective_scan>);
}
