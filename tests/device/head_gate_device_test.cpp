// One gate a head in 16 bits, whose programs are others than those of a gate a key: every kind of
// gate, short and long chunks, packed sequences, tiles that are whole and what is left of them.
#include "device.hpp"
//
#include "../grid/check.hpp"

namespace {

using namespace support;

template <class T>
class head_gate_device : public ::testing::Test {};
using formats =
    ::testing::Types<gatescan::device<gatescan::bf16>, gatescan::device<gatescan::half>>;
TYPED_TEST_SUITE(head_gate_device, formats);

options of_head(gates gate) {
  options c;
  c.gate = gate;
  c.switches["head_gate"] = true;
  return c;
}

TYPED_TEST(head_gate_device, every_gate) {
  for (const gates gate : grid::all_gates)
    grid::check<gla, TypeParam>({{mode::chunked, 0}, {mode::chunked, 150}, {mode::attention, 0}},
                                {1, 151, 1, 3, 2}, of_head(gate));
}

TYPED_TEST(head_gate_device, tiles) {
  for (const sizes& n :
       {sizes{1, 66, 1, 66, 70}, sizes{1, 130, 1, 64, 64}, sizes{1, 20, 1, 2, 130},
        sizes{1, 65, 1, 128, 128}, sizes{1, 17, 1, 130, 66}})
    grid::check<gla, TypeParam>({{mode::chunked, 0}, {mode::attention, 0}}, n,
                                of_head(gates::resets));
}

TYPED_TEST(head_gate_device, packed_sequences_and_groups_of_heads) {
  options c = of_head(gates::mixed);
  c.sequences = 4, c.group = 2;
  for (const bool state : {false, true}) {
    c.initial_state = state;
    grid::check<gla, TypeParam>({{mode::chunked, 0}, {mode::chunked, 70}, {mode::attention, 0}},
                                {1, 163, 2, 3, 5}, c);
  }
}

}  // namespace
