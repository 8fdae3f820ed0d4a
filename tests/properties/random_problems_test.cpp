// A hundred thousand small random problems against the oracle, and one law of each: recurrence,
// format, mode, threads, chunks, head groups, packed sequences, layouts, optional operands, gates.
// Problem number n is made from seed n alone, and a failure prints it:
//
//   GATESCAN_SEED=n GATESCAN_PROBLEMS=1 test_properties_random_problems --gtest_filter=...
//
// runs it again. GATESCAN_SEED is the first seed (1), GATESCAN_PROBLEMS their number (100,000,
// shared out among the recurrences).
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "../support/random_problem.hpp"

namespace {

using namespace support;

std::uint64_t number(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

template <class... O>
struct list {
  static constexpr std::uint64_t size = sizeof...(O);
};
constexpr std::uint64_t case_count = every_case<list>::size;

template <class O>
class random_problems : public ::testing::Test {};
TYPED_TEST_SUITE(random_problems, every_case<::testing::Types>);

TYPED_TEST(random_problems, are_as_the_oracle_and_obey_the_laws) {
  const auto first = number("GATESCAN_SEED", 1);
  const auto most = (number("GATESCAN_PROBLEMS", 100000) + case_count - 1) / case_count;
  auto seed = first;
  while (seed < first + most && !this->HasFailure()) {
    check_problem<TypeParam>(generator(seed), seed);
    ++seed;
  }
  std::cout << seed - first << " problems of " << case_of<TypeParam>::recurrence::name
            << ", seeds from " << first << "\n";
}

}  // namespace
