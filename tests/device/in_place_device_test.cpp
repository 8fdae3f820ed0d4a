// M3 on a device: results in the place of what they come from. Blocks run in any order, so nobody
// may read there what another one has already written: out of a matrix state is refused there. A
// final state alone may be asked for.
#include "../support/compare.hpp"
#include "../support/slices.hpp"
#include "device.hpp"

namespace {

using namespace support;
using T = gatescan::device<float>;

const std::vector<mode> modes{{mode::recurrent, 0}, {mode::scan, 3},      {mode::chunked, 1},
                              {mode::chunked, 16},  {mode::chunked, 100}, {mode::chunked, 64},
                              {mode::attention, 0}};

template <class O>
class diagonal_in_place : public ::testing::Test {};
using diagonal = ::testing::Types<real_elementwise, complex_elementwise, selective_scan>;
TYPED_TEST_SUITE(diagonal_in_place, diagonal);

template <class O>
typename O::inputs inputs() {
  options c;
  c.group = 1;
  return rounded<O, T>(problem<O>({2, 150, 2, 70, 70}, c, 90));
}

// out in the place of every operand of its shape, and the state advanced where it is
TYPED_TEST(diagonal_in_place, M3_results_replace_operands) {
  using O = TypeParam;
  constexpr bool complex_out = requires(typename O::outputs x) { x.out.data[0].re; };
  const auto in = inputs<O>();
  const auto shape = O::blank(in).out.shape;
  for (const mode& m : modes) {
    const auto want = run_forward<O, T>(m, in);
    std::vector<std::string> names;
    O::operands(
        [&](const char* name, auto& x) {
          if (x.shape == shape) names.push_back(name);
        },
        in);
    for (const std::string& name : names) {
      SCOPED_TRACE(::testing::Message() << m << " in the place of " << name);
      prepared<O, T> p(in, {});
      auto& place = p.held[name.c_str()];
      typename recurrence_of<O>::template outputs<T> out;
      out.final_state = p.held.state;
      if (gatescan::complex_view<float>(place).im != nullptr && !complex_out) continue;
      if (gatescan::complex_view<float>(place).im == nullptr && complex_out) continue;
      out.out = place;
      with_mode<O>(m, [&](auto chosen) { gatescan::forward(emulated_gpu{}, chosen, p.lib, out); });
      auto got = want;
      place.read(got.out);
      p.held.state.read(got.final_state);
      EXPECT_TRUE(same_bits(got.out, want.out));
      EXPECT_TRUE(same_bits(got.final_state, want.final_state));
    }
  }
}

template <class O>
class state_in_place : public ::testing::Test {};
using recurrences = every_device_case<::testing::Types>;
TYPED_TEST_SUITE(state_in_place, recurrences);

TYPED_TEST(state_in_place, M3_the_final_state_may_be_the_initial_state) {
  using O = TypeParam;
  const auto in = rounded<O, T>(problem<O>({2, 70, 2, 35, 35}, options{}, 90));
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto want = run_forward<O, T>(m, in);
    prepared<O, T> p(in, {});
    typename recurrence_of<O>::template outputs<T> out;
    out.final_state = p.held.state;
    with_mode<O>(m, [&](auto chosen) { gatescan::forward(emulated_gpu{}, chosen, p.lib, out); });
    auto got = want;
    p.held.state.read(got.final_state);
    EXPECT_TRUE(same_bits(got.final_state, want.final_state));
  }
}

TEST(matrix_in_place, M3_out_in_the_place_of_an_operand_is_refused) {
  const auto in = rounded<gla, T>(problem<gla>({1, 20, 2, 4, 4}, options{}, 91));
  prepared<gla, T> p(in, {});
  gatescan::gla::outputs<T> out;
  out.out = p.held["v"];
  EXPECT_THROW(gatescan::forward(emulated_gpu{}, gatescan::chunked{}, p.lib, out),
               gatescan::shape_error);
}

}  // namespace
