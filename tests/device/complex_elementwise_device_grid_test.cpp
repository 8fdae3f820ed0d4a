#include "device.hpp"
#include "device_grid.hpp"

namespace device_grid {
INSTANTIATE_TYPED_TEST_SUITE_P(complex_elementwise, device_grid, formats<complex_elementwise>);
}
