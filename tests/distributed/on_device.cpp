// What ranks that have an emulated device each do besides (device_test.cpp.in): a user's recurrence
// of an own operator, and errors.
#include <gatescan/distributed/on_device.hpp>
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan/recurrences/gla.hpp>
#include <string>

#include "../support/emulation/emulated_gpu.hpp"
#include "own_over_ranks.hpp"

namespace {

TEST(on_device_own, best_path_is_the_whole) {
  expect_best_path<gatescan::device<double>>(emulated_gpu{});
}

template <class T, class Backend>
void expect_error(const Backend& backend, int64 keys_of_q, const std::string& what) {
  std::vector<float> numbers(100, -0.5f), out(100, 7.0f);
  const typename gatescan::gla::inputs<T> in{.q = {numbers.data(), {1, 4, 1, keys_of_q}},
                                             .k = {numbers.data(), {1, 4, 1, 3}},
                                             .v = {numbers.data(), {1, 4, 1, 2}},
                                             .log_decay = {numbers.data(), {1, 4, 1, 1}}};
  try {
    gatescan::forward(sequence_parallel<Backend>{MPI_COMM_WORLD, backend}, gatescan::scan{}, in,
                      {.out = {out.data(), {1, 4, 1, 2}}});
    ADD_FAILURE() << "accepted";
  } catch (const gatescan::shape_error& e) {
    EXPECT_EQ(std::string(e.what()), "rank " + std::to_string(rank_count() - 1) + ": " + what);
  }
  EXPECT_EQ(out, std::vector<float>(100, 7.0f));
}
using on_device_float = gatescan::device<float>;
TEST(on_device_errors, of_one_rank_are_those_of_all) {
  const bool is_last = rank() + 1 == rank_count();
  expect_error<on_device_float>(emulated_gpu{}, is_last ? 5 : 3,
                                "k: expected [batch, time, heads, keys] = [1, 4, 1, 5] (heads may "
                                "be a divisor) as in q, got [1, 4, 1, 3]");
}
TEST(on_device_errors, ranks_are_all_on_devices_or_none) {
  if (rank_count() == 1) GTEST_SKIP() << "one rank agrees with itself";
  const std::string what = "a device: expected 1, as on rank 0, got 0";
  if (rank() + 1 < rank_count())
    expect_error<on_device_float>(emulated_gpu{}, 3, what);
  else
    expect_error<float>(gatescan::cpu{.threads = 1}, 3, what);
}

}  // namespace
