#include "device.hpp"
#include "device_grid.hpp"

namespace device_grid {
INSTANTIATE_TYPED_TEST_SUITE_P(rwkv4, device_grid, formats<rwkv4>);
}
