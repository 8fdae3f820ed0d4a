// Small problems of a recurrence in every mode, format and layout against the oracle, and their
// laws: those of properties/random_problems, whose choices the fuzzer makes.
#include "../support/random_problem.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ::testing::GTEST_FLAG(break_on_failure) = true;
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  support::generator choices(std::span(data, size));
  const auto seed = static_cast<std::uint64_t>(choices.below(256));
  support::check_problem<support::FUZZED>(choices, seed);
  return 0;
}
