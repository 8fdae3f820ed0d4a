// M3 on a device: blocks run in any order, so out may not lie where operands are; a state may be
// advanced in place. A final state alone may be asked for.
#include "../support/compare.hpp"
#include "../support/slices.hpp"
#include "emulated.hpp"

namespace {

using namespace support;
using T = gatescan::device<float>;

const std::vector<mode> modes{{mode::recurrent, 0}, {mode::scan, 3},      {mode::chunked, 1},
                              {mode::chunked, 16},  {mode::chunked, 100}, {mode::attention, 0}};

template <class O>
class in_place : public ::testing::Test {};
using recurrences =
    ::testing::Types<real_elementwise, complex_elementwise, gateloop, gla, selective_scan>;
TYPED_TEST_SUITE(in_place, recurrences);

TYPED_TEST(in_place, M3_the_final_state_may_be_the_initial_state) {
  using O = TypeParam;
  const auto in = rounded<O, T>(problem<O>({2, 70, 2, 35, 35}, options{}, 90));
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto want = run_forward<O, T>(m, in);
    prepared<O, T> p(in, {});
    typename binding<O>::recurrence::template outputs<T> out;
    out.final_state = p.held.state;
    with_mode(m, [&](auto chosen) { gatescan::forward(emulated_gpu{}, chosen, p.lib, out); });
    auto got = want;
    p.held.state.read(got.final_state);
    EXPECT_TRUE(same_bits(got.final_state, want.final_state));
  }
}

TEST(in_place_out, M3_out_in_the_place_of_an_operand_is_refused) {
  const auto in = rounded<gla, T>(problem<gla>({1, 20, 2, 4, 4}, options{}, 91));
  prepared<gla, T> p(in, {});
  gatescan::gla::outputs<T> out;
  out.out = p.held["v"];
  EXPECT_THROW(gatescan::forward(emulated_gpu{}, gatescan::chunked{}, p.lib, out),
               gatescan::shape_error);
}

}  // namespace
