// Scan mode: results that a segment writes before it knows the state that comes in stay only where
// they are right. Segments are long enough to be run early, some gates forget soon enough, some do
// not, some only in parts of the state.

#include "../support/compare.hpp"

namespace {

using namespace support;

template <class O>
class early_run : public ::testing::Test {};
TYPED_TEST_SUITE(early_run, every_case<::testing::Types>);

TYPED_TEST(early_run, results_stay_where_they_are_right) {
  using O = TypeParam;
  std::uint32_t seed = 1;
  for (const gates gate : {gates::mild, gates::near_one, gates::one, gates::resets, gates::mixed}) {
    options c;
    c.gate = gate;
    const auto in = rounded<O, double>(problem<O>({1, 3200, 2, 3, 5}, c, seed++));
    SCOPED_TRACE(gate);
    const auto got = run_forward<O, double>({mode::scan, 3}, in);
    expect_results<O>(got, O::forward(in), tolerance_of<double>());
    settings two;
    two.threads = 2;
    expect_same_results<O>(run_forward<O, double>({mode::scan, 3}, in, two), got);
  }
}

}  // namespace
