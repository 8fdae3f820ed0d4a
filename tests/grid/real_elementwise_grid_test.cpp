#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(real_elementwise, grid, full_width<real_elementwise>);
}
