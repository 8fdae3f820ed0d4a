#include "../device_grid.hpp"

namespace device_grid {
INSTANTIATE_TYPED_TEST_SUITE_P(gated_delta_net, device_grid, formats<gated_delta_net>);
}
