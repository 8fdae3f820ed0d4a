#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(complex_elementwise, grid, full_width<complex_elementwise>);
}
