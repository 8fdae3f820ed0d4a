#include "grid.hpp"

namespace grid {
INSTANTIATE_TYPED_TEST_SUITE_P(gateloop, grid, full_width<gateloop>);
}
