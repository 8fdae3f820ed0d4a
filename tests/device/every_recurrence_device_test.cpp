// Every recurrence once, forward and backward, in a few modes: little enough for a build with
// sanitizers.
#include "../grid/check.hpp"
#include "emulated.hpp"

namespace {

using namespace support;

template <class O>
class every_recurrence_device : public ::testing::Test {};
using recurrences =
    ::testing::Types<gla, gateloop, selective_scan, real_elementwise, complex_elementwise>;
TYPED_TEST_SUITE(every_recurrence_device, recurrences);

TYPED_TEST(every_recurrence_device, forward_and_backward) {
  options c;
  c.group = 2;
  for (const int64 sequences : {0, 3}) {
    c.sequences = sequences;
    grid::check<TypeParam, gatescan::device<float>>(grid::few_modes, {1, 21, 2, 3, 5}, c);
  }
}

}  // namespace
