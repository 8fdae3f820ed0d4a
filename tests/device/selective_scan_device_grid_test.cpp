#include "device.hpp"
#include "device_grid.hpp"

namespace device_grid {
INSTANTIATE_TYPED_TEST_SUITE_P(selective_scan, device_grid, formats<selective_scan>);

template <class Cell>
class shared_keys_device : public ::testing::Test {};
TYPED_TEST_SUITE(shared_keys_device, formats<selective_scan>);

// several tiles of keys; several blocks of channels, the last one not full; a few threads a key
TYPED_TEST(shared_keys_device, tiles_of_keys_and_blocks_of_channels) {
  using O = typename TypeParam::oracle;
  options c;
  c.gate = gates::resets;
  turn_all<O>(c, 63);
  for (const sizes& n : {sizes{1, 21, 1, 150, 3}, sizes{1, 41, 2, 16, 70}, sizes{1, 35, 1, 3, 130}})
    check<O, typename TypeParam::scalar>(few_modes, n, c);
}
}  // namespace device_grid
