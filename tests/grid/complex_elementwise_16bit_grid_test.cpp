#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(complex_elementwise, grid, sixteen_bits<complex_elementwise>);
}
