// One gate a head in 16 bits, whose programs are others than those of a gate a key: every kind of
// gate, short and long chunks, packed sequences, tiles that are whole and what is left of them.
#include <cmath>
#include <cstring>
#include <limits>

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
  for (const sizes& n : {sizes{1, 66, 1, 66, 70}, sizes{1, 130, 1, 64, 64}, sizes{1, 20, 1, 2, 130},
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

// A gate that all tokens share: its gradient is a sum over all blocks.
TYPED_TEST(head_gate_device, of_all_tokens) {
  options c;
  for (const sizes& n : {sizes{2, 70, 2, 66, 5}, sizes{1, 64, 1, 64, 64}})
    grid::check<retention, TypeParam>({{mode::chunked, 0}, {mode::chunked, 150}}, n, c);
}

// Whole tiles of values are fetched as they lie in memory, and looked at there.
TEST(fetched_values, not_finite_changes_no_bit_of_others) {
  using O = gla;
  using T = gatescan::device<gatescan::bf16>;
  constexpr sizes n{1, 80, 1, 64, 64};
  constexpr std::size_t token = 21, column = 37, width = 64;
  const auto poke = [](tensor<double>& x, double bad) { x.data[token * width + column] = bad; };
  // rows of tokens that changed() says may differ, in the column or in all
  const auto same = [](const auto& x, const auto& y, bool one_column, auto changed) {
    const std::size_t row = static_cast<std::size_t>(x.extent(3));
    for (std::size_t i = 0; i < x.data.size(); ++i)
      if (!(changed(i / row) && (!one_column || i % row == column)) &&
          std::memcmp(&x.data[i], &y.data[i], sizeof x.data[i]) != 0)
        return false;
    return true;
  };
  for (const bool head_gate : {true, false})
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
      SCOPED_TRACE(::testing::Message() << bad << (head_gate ? ", a gate a head" : ""));
      options c;
      c.switches["head_gate"] = head_gate;
      const auto clean = rounded<O, T>(problem<O>(n, c, 61));
      const auto d = rounded_results<O, T>(random_gradients<O>(O::forward(clean), 62));
      const mode chunks{mode::chunked, 0};
      auto dirty = clean;
      poke(dirty.v, bad);
      const auto want = run_forward<O, T>(chunks, clean), got = run_forward<O, T>(chunks, dirty);
      EXPECT_TRUE(same(got.out, want.out, true, [&](std::size_t t) { return t >= token; }));
      EXPECT_FALSE(std::isfinite(got.out.data[token * width + column]));
      auto dirty_d = d;
      poke(dirty_d.out, bad);
      const auto want_d = run_backward<O, T>(chunks, clean, d),
                 got_d = run_backward<O, T>(chunks, clean, dirty_d);
      const auto before = [&](std::size_t t) { return t <= token; };
      EXPECT_TRUE(same(got_d.v, want_d.v, true, before));
      EXPECT_TRUE(same(got_d.q, want_d.q, false, before));
      EXPECT_TRUE(same(got_d.k, want_d.k, false, before));
      EXPECT_TRUE(same(got_d.log_decay, want_d.log_decay, false, before));
      EXPECT_FALSE(std::isfinite(got_d.v.data[token * width + column]));
    }
}

}  // namespace
