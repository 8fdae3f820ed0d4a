// Lowered recurrences in 16 bits, whose rows of floats are multiplied in parts of bfloat16: with
// one gate a head, and with a gate a key. (mlstm, with a normaliser: its grid.)
#include "device.hpp"
//
#include "../grid/check.hpp"

namespace {

using namespace support;

template <class Cell>
class rows_of_16_bits : public ::testing::Test {};
using cells = ::testing::Types<grid::cell<mamba2, gatescan::device<gatescan::bf16>>,
                               grid::cell<mamba2, gatescan::device<gatescan::half>>,
                               grid::cell<rwkv6, gatescan::device<gatescan::bf16>>>;
TYPED_TEST_SUITE(rows_of_16_bits, cells);

const std::vector<mode> modes{{mode::recurrent, 0}, {mode::chunked, 0}, {mode::attention, 0}};

TYPED_TEST(rows_of_16_bits, every_gate) {
  for (const gates gate : grid::all_gates) {
    options c;
    c.gate = gate;
    grid::check<typename TypeParam::oracle, typename TypeParam::scalar>(modes, {1, 37, 2, 3, 2}, c);
  }
}

TYPED_TEST(rows_of_16_bits, tiles_and_packed_sequences) {
  options c;
  grid::check<typename TypeParam::oracle, typename TypeParam::scalar>(modes, {1, 130, 1, 66, 65},
                                                                      c);
  c.sequences = 3, c.gate = gates::resets;
  grid::check<typename TypeParam::oracle, typename TypeParam::scalar>(modes, {1, 83, 2, 3, 5}, c);
}

}  // namespace
