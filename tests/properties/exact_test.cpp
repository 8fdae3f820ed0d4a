// The exact layer: where all arithmetic is exact, every mode, thread count, chunk size and layout
// gives the same numbers as the oracle, with no tolerance.
#include "../support/problem.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "../support/compare.hpp"

namespace {

using namespace support;

template <class O>
class exact : public ::testing::Test {};
using recurrences = every_case<::testing::Types>;
TYPED_TEST_SUITE(exact, recurrences);

// forward in float too; the sums of the gate gradients would not fit its significand
template <class O>
void check(const mode& m, const typename O::inputs& in, std::uint64_t seed,
           const settings& how = {}) {
  SCOPED_TRACE(::testing::Message() << m << " threads " << how.threads << " seed " << seed);
  const auto want = O::forward(in);
  expect_same_results<O>(run_forward<O, double>(m, in, how), want);
  expect_same_results<O>(run_forward<O, float>(m, in, how), want);
  const auto dout = exact_gradients<O>(want, seed);
  const auto got = run_backward<O, double>(m, in, dout, how);
  expect_same_gradients<O>(got, as_returned<O>(in, O::backward(in, dout)));
}

TYPED_TEST(exact, modes_threads_and_chunks_agree_bit_for_bit) {
  const std::vector<mode> modes{{mode::recurrent, 0}, {mode::scan, 0},     {mode::chunked, 0},
                                {mode::chunked, 1},   {mode::chunked, 17}, {mode::chunked, 64},
                                {mode::attention, 0}};
  std::uint64_t seed = 100;
  for (const sizes& n : {sizes{2, 37, 4, 3, 5}, sizes{1, 129, 2, 8, 8}, sizes{3, 5, 2, 1, 1}})
    for (const int64 group : {1, 2})
      for (const bool variant : {false, true}) {
        options c;
        c.group = group;
        c.initial_state = variant;
        turn<TypeParam>(c, {"linear_gate", "D"}, variant);
        turn<TypeParam>(c, {"head_gate"}, !variant);
        const auto in = exact_problem<TypeParam>(n, c, ++seed);
        for (const mode& m : modes_of<TypeParam>(modes))
          for (const int threads : {1, 2, 3, 7}) {
            settings how;
            how.threads = threads;
            check<TypeParam>(m, in, seed, how);
            if (this->HasFailure()) return;
          }
      }
}

// S5: a chunk's boundary meets the end of time in every way
TYPED_TEST(exact, S5_every_chunk_size_and_the_lengths_around_it) {
  std::uint64_t seed = 1000;
  for (int chunk = 1; chunk <= 130; ++chunk)
    for (const int64 length : {chunk - 1, chunk, chunk + 1, 2 * chunk + 1}) {
      if (chunk > 20 && (chunk + length) % 3 != 0) continue;  // a third of the larger ones
      const auto in = exact_problem<TypeParam>({1, length, 1, 2, 3}, options{}, ++seed);
      check<TypeParam>({mode::chunked, chunk}, in, seed);
      if (this->HasFailure()) return;
    }
}

// S3, S5: an impulse at every place of three chunks arrives once
TYPED_TEST(exact, S3_S5_scan_and_chunks_carry_every_token_once) {
  for (const int64 length : {1, 2, 15, 16, 17, 31, 33, 48, 63, 64, 65, 127, 128, 129, 257})
    for (const mode& m :
         modes_of<TypeParam>({{mode::scan, 0}, {mode::chunked, 16}, {mode::chunked, 0}}))
      for (const int threads : {1, 3}) {
        settings how;
        how.threads = threads;
        const auto seed = static_cast<std::uint64_t>(length);
        check<TypeParam>(m, exact_problem<TypeParam>({1, length, 1, 3, 2}, options{}, seed), seed,
                         how);
        if (this->HasFailure()) return;
      }
}

// S8: the layout of an operand changes no bit, on any numbers
TYPED_TEST(exact, S8_layouts_give_the_same_bits) {
  using O = TypeParam;
  const auto in = rounded<O, float>(problem<O>({2, 29, 4, 5, 3}, options{}, 7));
  const auto dout = rounded_results<O, float>(random_gradients<O>(O::forward(in), 8));
  for (const mode& m : modes_of<O>(
           {{mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 8}, {mode::attention, 0}})) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto out = run_forward<O, float>(m, in);
    const auto gradients = run_backward<O, float>(m, in, dout);
    for (const layouts layout : all_layouts) {
      settings how;
      how.layout = layout;
      expect_same_results<O>(run_forward<O, float>(m, in, how), out);
      expect_same_gradients<O>(run_backward<O, float>(m, in, dout, how), gradients);
    }
  }
}

// S6, S12: random shapes, packings and groups; a failure shrinks to a small one
TYPED_TEST(exact, any_shape_and_packing) {
  using O = TypeParam;
  const bool holds = rc::check([](std::uint32_t seed) {
    sizes n;
    const bool packed = *rc::gen::arbitrary<bool>();
    n.B = packed ? 1 : *rc::gen::inRange<int64>(0, 3);
    n.L = *rc::gen::inRange<int64>(0, 40);
    options c;
    c.group = *rc::gen::inRange<int64>(1, 4);
    n.H = c.group * *rc::gen::inRange<int64>(1, 3);
    n.K = *rc::gen::inRange<int64>(1, 12);
    n.V = *rc::gen::inRange<int64>(1, 12);
    c.sequences = packed ? *rc::gen::inRange<int64>(1, 6) : 0;
    c.initial_state = *rc::gen::arbitrary<bool>();
    turn_all<O>(c, *rc::gen::arbitrary<unsigned>());
    settings how;
    how.threads = *rc::gen::inRange(1, 4);
    mode m = *rc::gen::elementOf(modes_of<O>(
        {{mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 0}, {mode::attention, 0}}));
    m.chunk = *rc::gen::inRange(1, 50);
    const auto in = exact_problem<O>(n, c, seed);
    const auto want = O::forward(in);
    RC_ASSERT((run_forward<O, double>(m, in, how).out == want.out));
    RC_ASSERT((run_forward<O, double>(m, in, how).final_state == want.final_state));
    const auto dout = exact_gradients<O>(want, seed);
    const auto d = as_returned<O>(in, O::backward(in, dout));
    const auto got = run_backward<O, double>(m, in, dout, how);
    O::operands([](const char*, auto& x, auto& y) { RC_ASSERT((x == y)); }, got, d);
  });
  EXPECT_TRUE(holds);
}

// S1: three steps with distinct primes. The gate of a token multiplies what came before it.
TEST(quality, S1_the_gate_meets_the_state_before_the_new_input) {
  gateloop::inputs in;
  using c = cplx<double>;
  in.q = tensor<c>({1, 3, 1, 1}, c(1));
  in.k = tensor<c>({1, 3, 1, 1});
  in.k.data = {c(7), c(11), c(13)};
  in.v = tensor<double>({1, 3, 1, 1}, 1);
  in.a = tensor<c>({1, 3, 1, 1});
  in.a.data = {c(2), c(3), c(5)};
  in.initial_state = tensor<c>({1, 1, 1, 1}, c(17));
  real_elementwise::inputs e;
  e.a = tensor<double>({1, 3, 1, 1});
  e.a.data = {2, 3, 5};
  e.x = tensor<double>({1, 3, 1, 1});
  e.x.data = {7, 11, 13};
  e.initial_state = tensor<double>({1, 1, 1}, 17);
  const std::vector<double> want{41, 134, 683};
  for (const mode& m :
       {mode{mode::recurrent, 0}, mode{mode::scan, 0}, mode{mode::chunked, 1},
        mode{mode::chunked, 2}, mode{mode::chunked, 16}, mode{mode::attention, 0}}) {
    SCOPED_TRACE(::testing::Message() << m);
    EXPECT_EQ((run_forward<gateloop, float>(m, in).out.data), want);
    EXPECT_EQ((run_forward<real_elementwise, float>(m, e).out.data), want);
  }
}

}  // namespace
