// S6, S11: packed sequences do not see each other, and gradients flow through the states alone when
// nothing else asks for them.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 8}, {mode::attention, 0}};

template <class O>
class sequences : public ::testing::Test {};
TYPED_TEST_SUITE(sequences, every_case<::testing::Types>);

// all tokens of every operand in begin..end become `bad`
template <class O>
void spoil(typename O::inputs& in, int64 begin, int64 end, double bad) {
  O::operands(
      [&](const char* name, auto& x) {
        if (!x.given() || !has_time<O>(name)) return;
        const auto row = static_cast<std::size_t>(x.size() / x.extent(1));
        for (std::size_t i = static_cast<std::size_t>(begin) * row;
             i < static_cast<std::size_t>(end) * row; ++i)
          x.data[i] = bad;
      },
      in);
}

template <class T>
bool same_outside(const tensor<T>& x, const tensor<T>& y, int64 begin, int64 end) {
  return same_bits(slice(x, 0, begin), slice(y, 0, begin)) &&
         same_bits(slice(x, end, x.extent(1)), slice(y, end, y.extent(1)));
}
template <class T>
bool same_other_rows(const tensor<T>& x, const tensor<T>& y, std::size_t row) {
  const std::size_t n = x.data.size() / static_cast<std::size_t>(x.extent(0));
  for (std::size_t i = 0; i < x.data.size(); ++i)
    if (i / n != row && std::memcmp(&x.data[i], &y.data[i], sizeof(T)) != 0) return false;
  return true;
}

template <class O>
void one_sequence_changes_no_other(std::uint32_t seed) {
  options c;
  c.sequences = *rc::gen::inRange<int64>(2, 6);
  c.gate = gates::mild;
  const int64 length = *rc::gen::inRange<int64>(2, 60);
  const auto in = rounded<O, float>(problem<O>({1, length, 2, 3, 2}, c, seed));
  const auto dout = rounded_results<O, float>(random_gradients<O>(O::forward(in), seed));
  const std::size_t victim =
      *rc::gen::inRange<std::size_t>(0, static_cast<std::size_t>(c.sequences));
  const int64 begin = in.sequence_offsets[victim], end = in.sequence_offsets[victim + 1];
  auto spoiled = in;
  spoil<O>(spoiled, begin, end, *rc::gen::element(std::numeric_limits<double>::quiet_NaN(), 0.75));
  for (const mode& m : modes_of<O>(modes)) {
    const auto clean = run_forward<O, float>(m, in), dirty = run_forward<O, float>(m, spoiled);
    RC_ASSERT(same_outside(dirty.out, clean.out, begin, end));
    RC_ASSERT(same_other_rows(dirty.final_state, clean.final_state, victim));
    const auto d_clean = run_backward<O, float>(m, in, dout);
    const auto d_dirty = run_backward<O, float>(m, spoiled, dout);
    O::operands(
        [&](const char* name, auto& x, auto& y) {
          if (!x.given()) return;
          if (has_time<O>(name)) RC_ASSERT(same_outside(x, y, begin, end));
          if (std::string(name) == "initial_state") RC_ASSERT(same_other_rows(x, y, victim));
        },
        d_dirty, d_clean);
  }
}

TYPED_TEST(sequences, S6_one_packed_sequence_changes_no_other) {
  EXPECT_TRUE(rc::check(one_sequence_changes_no_other<TypeParam>));
}

// S6: packed sequences are the sequences one by one; recurrent mode to the bit
TYPED_TEST(sequences, S6_packed_is_one_by_one) {
  using O = TypeParam;
  options c;
  c.sequences = 5;
  auto in = problem<O>({1, 83, 2, 3, 2}, c, 7);
  in.sequence_offsets = {0, 17, 17, 18, 50, 83};
  const auto packed = run_forward<O, double>({mode::recurrent, 0}, in);
  for (std::size_t i = 0; i < 5; ++i) {
    const int64 begin = in.sequence_offsets[i], end = in.sequence_offsets[i + 1];
    auto alone = slice_inputs<O>(in, begin, end);
    alone.sequence_offsets.clear();
    auto& state = alone.initial_state;
    const std::size_t row = state.data.size() / 5;
    state.shape[0] = 1;
    state.data = {in.initial_state.data.begin() + static_cast<std::ptrdiff_t>(i * row),
                  in.initial_state.data.begin() + static_cast<std::ptrdiff_t>((i + 1) * row)};
    const auto out = run_forward<O, double>({mode::recurrent, 0}, alone);
    EXPECT_TRUE(same_bits(out.out, slice(packed.out, begin, end))) << i;
  }
}

// S11: with gates of 1 the gradient of the final state is that of the initial state
TYPED_TEST(sequences, S11_the_state_gradient_goes_through) {
  using O = TypeParam;
  options c;
  c.gate = gates::one;
  turn<O>(c, {"complex", "phase"}, false);
  auto in = problem<O>({2, 57, 2, 3, 2}, c, 10);
  if constexpr (requires { in.beta; }) in.beta = tensor<double>(in.beta.shape);  // corrects nothing
  if constexpr (requires { in.a, in.b; }) in.a = tensor<double>(in.a.shape);  // takes away nothing
  // with weights in log space gates are 1 where none outweighs m
  if constexpr (requires { in.i, in.held; }) in.i = tensor<double>(in.i.shape, -100);
  if constexpr (requires { in.s, in.held; }) in.s = tensor<double>(in.s.shape, -100);
  if constexpr (requires { in.u, in.held; }) in.k = tensor<double>(in.k.shape, -100);
  auto dout = random_gradients<O>(O::forward(in), 11);
  dout.out = {};
  if constexpr (requires { in.held; }) {  // m, the last column, has no gradient
    const auto columns = static_cast<std::size_t>(dout.final_state.extent(3));
    for (std::size_t i = columns - 1; i < dout.final_state.data.size(); i += columns)
      dout.final_state.data[i] = 0;
  }
  for (const mode& m : modes_of<O>(modes)) {
    SCOPED_TRACE(::testing::Message() << m);
    auto got = run_backward<O, double>(m, in, dout);
    EXPECT_TRUE(got.initial_state.data == dout.final_state.data);
  }
}

}  // namespace
