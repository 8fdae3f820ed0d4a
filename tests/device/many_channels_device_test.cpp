// Channels so many that time is not cut: one pass over memory, operands fetched ahead.
#include "../grid/check.hpp"
#include "device.hpp"

namespace {

using namespace support;

const std::vector<mode> modes{{mode::chunked, 0}, {mode::scan, 3}};
// blocks of half a warp of channels, and of a whole one; even, for 16 bits
constexpr auto& tuned = gatescan::detail::gpu::tuned;
constexpr int64 channels = tuned.enough_channels + 2,
                more_channels = tuned.multiprocessors * 32 + 6;

template <class Cell>
class many_channels_device : public ::testing::Test {};
using cells = ::testing::Types<
    grid::cell<real_elementwise, float>, grid::cell<complex_elementwise, float>,
    grid::cell<real_elementwise, double>, grid::cell<complex_elementwise, double>,
    grid::cell<real_elementwise, gatescan::bf16>, grid::cell<complex_elementwise, gatescan::half>,
    grid::cell<real_elementwise, gatescan::wide<gatescan::bf16>>, grid::cell<hgrn, float>,
    grid::cell<min_gru, float>, grid::cell<min_lstm, float>, grid::cell<rg_lru, float>,
    grid::cell<rg_lru, gatescan::bf16>>;
TYPED_TEST_SUITE(many_channels_device, cells);

// tiles more and fewer than there is room for, and tails
TYPED_TEST(many_channels_device, sizes_and_gates) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  settings how;
  how.planned = true;
  const int64 lengths[] = {3, 128, 290};
  for (std::size_t i = 0; i < grid::all_gates.size(); i += 2) {
    options c;
    c.gate = grid::all_gates[i];
    c.initial_state = i % 4 == 0;
    how.layout = i % 4 == 0 ? layouts::dense : layouts::odd;
    grid::check<O, T>({modes[i / 2 % 2]}, {1, lengths[i / 2 % 3], 1, 1, channels}, c, how);
  }
}

TYPED_TEST(many_channels_device, blocks_of_a_whole_warp) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  grid::check<O, T>({modes[0]}, {2, 70, 1, 1, more_channels / 2}, {});
}

TYPED_TEST(many_channels_device, packed_sequences) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  options c;
  c.sequences = 4;
  c.gate = gates::resets;
  grid::check<O, T>({modes[1]}, {1, 67, 2, 1, channels / 8 + 2}, c);
}

TYPED_TEST(many_channels_device, given_and_wanted) {
  using O = typename TypeParam::oracle;
  using T = gatescan::device<typename TypeParam::scalar>;
  grid::check_given_and_wanted<O, T>({modes[0]}, {1, 9, 1, 1, channels}, [](std::size_t n) {
    return std::vector<unsigned>{1, (1u << n) - 2};
  });
}

}  // namespace
