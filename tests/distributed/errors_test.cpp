// What one rank finds wrong all ranks throw, in the same words, and so do they where they do not
// mean one problem; nothing is written then.
//
// Run by mpirun, as sequence_parallel_test.cpp.

#include <algorithm>
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan/recurrences/all.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "program.hpp"

namespace {

using gatescan::sequence_parallel;
using int64 = gatescan::index_t;

// A rank that refuses its operands, and ranks that do not mean one problem: all throw the same.
class errors : public ::testing::Test {
 public:
  void expect_refused(std::vector<int64> extents_of_k, const char* what, bool with_decay = true) {
    std::vector<double> numbers(1000, 0.5), out(1000, 7.0);
    const gatescan::gla::inputs<double> in{
        .q = {numbers.data(), {1, 4, 1, extents_of_k[0]}},
        .k = {numbers.data(), {1, 4, 1, extents_of_k[1]}},
        .v = {numbers.data(), {1, 4, 1, 2}},
        .log_decay = with_decay ? gatescan::view<const double>{numbers.data(), {1, 4, 1, 1}}
                                : gatescan::view<const double>{}};
    try {
      gatescan::forward(sequence_parallel<>{MPI_COMM_WORLD}, gatescan::scan{}, in,
                        {.out = {out.data(), {1, 4, 1, 2}}});
      ADD_FAILURE() << "accepted";
    } catch (const gatescan::shape_error& e) {
      EXPECT_EQ(std::string(e.what()),
                "rank " + std::to_string(rank_count() - 1) + ": " + std::string(what));
    }
    EXPECT_TRUE(std::all_of(out.begin(), out.end(), [](double x) { return x == 7; }));
  }
  // f(): on all ranks the same error, whose words begin with the rank at fault.
  template <class Error, class F>
  void expect_thrown(int of, const std::string& what, F&& f) {
    try {
      f();
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()), "rank " + std::to_string(of) + ": " + what);
    }
  }
  bool is_last() const { return rank() + 1 == rank_count(); }
};
TEST_F(errors, of_one_rank_are_those_of_all) {
  expect_refused({3, is_last() ? 5 : 3},
                 "q: expected [batch, time, heads, keys] = [1, 4, 1, 5] "
                 "(heads may be a divisor) as in k, got [1, 4, 1, 3]");
}
TEST_F(errors, say_which_rank_means_another_problem) {
  if (rank_count() == 1) GTEST_SKIP() << "one rank agrees with itself";
  const int64 keys = is_last() ? 5 : 3;
  expect_refused({keys, keys}, "keys: expected 3, as on rank 0, got 5");
}
// What the same sizes do not tell, and kernels are chosen by.
TEST_F(errors, say_which_operand_has_another_shape) {
  if (rank_count() == 1) GTEST_SKIP() << "one rank agrees with itself";
  std::vector<double> numbers(1000, -0.5), out(1000, 7.0);
  const auto refuse = [&](int64 heads_of_k, int64 keys_of_gates, int64 tokens, const char* what) {
    const gatescan::gla::inputs<double> in{
        .q = {numbers.data(), {1, tokens, 2, 3}},
        .k = {numbers.data(), {1, tokens, heads_of_k, 3}},
        .v = {numbers.data(), {1, tokens, 2, 2}},
        .log_decay = {numbers.data(), {1, tokens, 2, keys_of_gates}}};
    const int at_fault = rank_count() - 1;
    expect_thrown<gatescan::shape_error>(at_fault, what, [&] {
      gatescan::forward(sequence_parallel<>{MPI_COMM_WORLD}, gatescan::scan{}, in,
                        {.out = {out.data(), {1, tokens, 2, 2}}});
    });
    EXPECT_TRUE(std::all_of(out.begin(), out.end(), [](double x) { return x == 7; }));
  };
  const int64 tokens = 4 + rank();
  refuse(2, is_last() ? 3 : 1, tokens,
         "log_decay: expected [1, time, 2, 1], as on rank 0, got [1, time, 2, 3]");
  refuse(is_last() ? 1 : 2, 1, tokens,
         "k: expected [1, time, 2, 3], as on rank 0, got [1, time, 1, 3]");
}
// A complex state alone makes a problem complex: then all ranks have to know.
TEST_F(errors, say_which_rank_has_other_numbers) {
  if (rank_count() == 1) GTEST_SKIP() << "one rank agrees with itself";
  std::vector<double> numbers(100, 0.5), out(100), out_im(100);
  const gatescan::layout tokens{1, 4, 1, 2}, states{1, 1, 2};
  const double* const x = numbers.data();
  gatescan::elementwise::inputs<double> in{.a = {x, nullptr, tokens}, .x = {x, nullptr, tokens}};
  if (rank() > 0) in.initial_state = {x, x + 50, states};
  expect_thrown<gatescan::shape_error>(1, "complex numbers: expected 0, as on rank 0, got 1", [&] {
    gatescan::forward(sequence_parallel<>{MPI_COMM_WORLD}, gatescan::scan{}, in,
                      {.out = {out.data(), out_im.data(), tokens}});
  });
}
TEST_F(errors, packed_sequences_have_no_final_state_everywhere) {
  std::vector<double> numbers(100, 0.5), out(100, 7.0), state(100, 7.0);
  const std::vector<gatescan::index_t> offsets{0, 1, 4};
  const gatescan::gla::inputs<double> in{.q = {numbers.data(), {1, 4, 1, 3}},
                                         .k = {numbers.data(), {1, 4, 1, 3}},
                                         .v = {numbers.data(), {1, 4, 1, 2}},
                                         .log_decay = {numbers.data(), {1, 4, 1, 1}},
                                         .sequence_offsets = {offsets.data(), {3}}};
  expect_thrown<std::invalid_argument>(
      0, "final_state_everywhere: packed sequences end on ranks of their own", [&] {
        gatescan::forward(
            sequence_parallel<>{.comm = MPI_COMM_WORLD, .final_state_everywhere = true},
            gatescan::scan{}, in,
            {.out = {out.data(), {1, 4, 1, 2}}, .final_state = {state.data(), {2, 1, 3, 2}}});
      });
  EXPECT_TRUE(std::all_of(out.begin(), out.end(), [](double x) { return x == 7; }));
  EXPECT_TRUE(std::all_of(state.begin(), state.end(), [](double x) { return x == 7; }));
}

}  // namespace
