// S9, S10: a sequence in pieces is the same sequence. In recurrent mode bit for bit, for pieces of
// any length, forward and backward with the gradients of the state handed from piece to piece.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

template <class O>
class streaming : public ::testing::Test {};
using recurrences = every_case<::testing::Types>;
TYPED_TEST_SUITE(streaming, recurrences);

constexpr mode recurrent{mode::recurrent, 0};

// cuts of 0..length: pieces may be empty
std::vector<int64> random_cuts(int64 length) {
  auto cuts = *rc::gen::container<std::vector<int64>>(rc::gen::inRange<int64>(0, length + 1));
  cuts.push_back(0);
  cuts.push_back(length);
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

// the piece of a gradient that lies at begin..end
template <class O, class A>
void assert_piece(const A& piece, const A& whole, int64 begin, int64 end) {
  O::operands(
      [&](const char* name, auto& p, auto& w) {
        if (has_time<O>(name) && p.given()) RC_ASSERT(same_bits(p, slice(w, begin, end)));
      },
      piece, whole);
}

template <class O, class T>
void pieces_are_the_whole(std::uint32_t seed, sizes n) {
  const int64 length = n.L = *rc::gen::inRange<int64>(0, 150);
  options c;
  c.gate = *rc::gen::element(gates::mild, gates::near_one, gates::resets, gates::mixed);
  turn<O>(c, {"linear_gate"}, *rc::gen::arbitrary<bool>());
  const auto in = rounded<O, T>(problem<O>(n, c, seed));
  const auto cuts = random_cuts(length);

  const auto whole = run_forward<O, T>(recurrent, in);
  std::vector<decltype(in.initial_state)> states{in.initial_state};
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    auto part = slice_inputs<O>(in, cuts[i], cuts[i + 1]);
    part.initial_state = states.back();
    const auto out = run_forward<O, T>(recurrent, part);
    RC_ASSERT(same_bits(out.out, slice(whole.out, cuts[i], cuts[i + 1])));
    states.push_back(out.final_state);
  }
  RC_ASSERT(same_bits(states.back(), whole.final_state));

  const auto dout = rounded_results<O, T>(random_gradients<O>(whole, seed + 1u));
  const auto d_whole = run_backward<O, T>(recurrent, in, dout);
  auto d_state = dout.final_state;
  for (std::size_t i = cuts.size() - 1; i-- > 0;) {
    auto part = slice_inputs<O>(in, cuts[i], cuts[i + 1]);
    part.initial_state = states[i];
    auto d_part = slice_results<O>(dout, cuts[i], cuts[i + 1]);
    d_part.final_state = d_state;
    const auto d = run_backward<O, T>(recurrent, part, d_part);
    assert_piece<O>(d, d_whole, cuts[i], cuts[i + 1]);
    d_state = d.initial_state;
  }
  RC_ASSERT(same_bits(d_state, d_whole.initial_state));
}

template <class O, class T>
void small_pieces(std::uint32_t seed) {
  const auto few = rc::gen::inRange<int64>(1, 9);
  pieces_are_the_whole<O, T>(seed, {2, 0, 3, *few, *few});
}

TYPED_TEST(streaming, S10_pieces_are_the_whole_bit_for_bit) {
  EXPECT_TRUE(rc::check("double", small_pieces<TypeParam, double>));
  EXPECT_TRUE(rc::check("float", small_pieces<TypeParam, float>));
  EXPECT_TRUE(rc::check("wide<float>", small_pieces<TypeParam, gatescan::wide<float>>));
}
// heads that run as channels, and channels enough for kernels that take several registers
TEST(streaming_wide, S10_pieces_are_the_whole_bit_for_bit) {
  EXPECT_TRUE(rc::check("gateloop, one key and one value", [](std::uint32_t seed) {
    pieces_are_the_whole<gateloop, float>(seed, {2, 0, 67, 1, 1});
  }));
  EXPECT_TRUE(rc::check("selective_scan, 37 channels", [](std::uint32_t seed) {
    pieces_are_the_whole<selective_scan, float>(seed, {1, 0, 1, 3, 37});
  }));
}

// S9: the final state of a prefix is the state at its end, in any mode; here for tokens that only
// the state remembers, so that a padded tail or a late snapshot shows
TYPED_TEST(streaming, S9_the_state_of_a_prefix_continues_the_sequence) {
  using O = TypeParam;
  const auto in = problem<O>({2, 77, 2, 4, 3}, options{}, 5);
  const auto want = O::forward(in);
  for (const mode& m : modes_of<O>(
           {{mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 16}, {mode::attention, 0}}))
    for (const int64 cut : {0, 1, 15, 16, 17, 40, 76, 77}) {
      SCOPED_TRACE(::testing::Message() << m << " cut at " << cut);
      const auto first = run_forward<O, double>(m, slice_inputs<O>(in, 0, cut));
      auto rest = slice_inputs<O>(in, cut, 77);
      rest.initial_state = first.final_state;
      auto expected = slice_results<O>(want, cut, 77);
      expect_results<O>(run_forward<O, double>(m, rest), expected, tolerance_of<double>());
    }
}

}  // namespace
