#include "device.hpp"
#include "device_grid.hpp"

namespace device_grid {
INSTANTIATE_TYPED_TEST_SUITE_P(selective_scan, device_grid, formats<selective_scan>);
}
