#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(real_elementwise, grid, every_scalar<real_elementwise>);
INSTANTIATE_TYPED_TEST_SUITE_P(complex_elementwise, grid, every_scalar<complex_elementwise>);
}
