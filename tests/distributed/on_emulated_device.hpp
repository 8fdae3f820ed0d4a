// One sequence over ranks that have an emulated device each: every mode, against the oracle.
// `device_test.cpp.in` makes a file of it for each case.
#pragma once

#include <gatescan/distributed/on_device.hpp>

#include "../support/emulation/emulated_gpu.hpp"
#include "over_ranks.hpp"

namespace {

using device_float = gatescan::device<float>;

template <class O>
class on_device : public ::testing::Test {
 public:
  // f(mode) for each that the recurrence has
  template <class F>
  static void for_each_mode(F&& f) {
    for (const mode& m : modes_of<O>({{mode::scan, 0},
                                      {mode::scan, 3},
                                      {mode::chunked, 0},
                                      {mode::recurrent, 0},
                                      {mode::attention, 0}})) {
      SCOPED_TRACE(m);
      with_mode<O>(m, f);
    }
  }
};
TYPED_TEST_SUITE_P(on_device);

TYPED_TEST_P(on_device, random_pieces_are_the_whole) {
  constexpr gates all[] = {gates::mild, gates::resets, gates::one};
  std::uint32_t seed = 1;
  TestFixture::for_each_mode([&](const auto& mode) {
    options c;
    c.gate = all[seed % 3];
    expect_whole<TypeParam, device_float>(emulated_gpu{}, mode, {2, 75, 2, 3, 5}, c,
                                          random_pieces(75, seed), seed, seed % 2 == 0);
    ++seed;
  });
}
// Long enough for several chunks of a piece; an MPI that reads what lies on a device.
TYPED_TEST_P(on_device, long_pieces_are_the_whole) {
  TestFixture::for_each_mode([&](const auto& mode) {
    expect_whole<TypeParam, device_float>(emulated_gpu_of_mpi{}, mode, {1, 300, 1, 3, 2}, {},
                                          random_pieces(300, 4), 4, false);
  });
}
TYPED_TEST_P(on_device, packed_sequences_cross_ranks) {
  pieces cut;
  for (int r = 1; r <= rank_count(); ++r) cut.ends.push_back(83 * r / rank_count());
  TestFixture::for_each_mode([&](const auto& mode) {
    expect_packed<TypeParam, device_float>(emulated_gpu{}, mode, {1, 83, 2, 3, 5}, cut);
  });
}
TYPED_TEST_P(on_device, packed_sequences_pass_ranks_without_tokens) {
  for (const int one : {0, rank_count() - 1}) {
    pieces cut;
    for (int r = 0; r < rank_count(); ++r) cut.ends.push_back(r < one ? 0 : 83);
    expect_packed<TypeParam, device_float>(emulated_gpu{}, gatescan::scan{}, {1, 83, 2, 3, 5}, cut);
  }
}

REGISTER_TYPED_TEST_SUITE_P(on_device, random_pieces_are_the_whole, long_pieces_are_the_whole,
                            packed_sequences_cross_ranks,
                            packed_sequences_pass_ranks_without_tokens);

}  // namespace
