// Registers of 16-bit numbers are converted as single ones are.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <gatescan/gatescan.hpp>
#include <limits>
#include <vector>

namespace {

using gatescan::bf16;
using gatescan::half;
using gatescan::index_t;
namespace simd = gatescan::simd;

template <class S>
S from_bits(std::uint32_t bits) {
  S x;
  x.bits = static_cast<std::uint16_t>(bits);
  return x;
}

// Every float whose fraction is near a tie of either format, and a few of all exponents.
std::vector<float> floats() {
  std::vector<float> all;
  for (std::uint32_t exponent = 0; exponent < 512; ++exponent)  // with the sign
    for (const std::uint32_t base : {0u, 0x1000u, 0x2000u, 0x3000u, 0x8000u, 0x10000u, 0x18000u,
                                     0x3fe000u, 0x400000u, 0x7f0000u, 0x7fe000u, 0x7ff000u})
      for (const int step : {-1, 0, 1}) {
        const std::uint32_t fraction = (base + static_cast<std::uint32_t>(step)) & 0x7fffffu;
        all.push_back(gatescan::detail::bits_as<float>(exponent << 23 | fraction));
      }
  return all;
}

template <class P>
struct conversions : ::testing::Test {};
template <class StateType, class StorageType>
struct pair_of {
  using state = StateType;
  using storage = StorageType;
};
using formats = ::testing::Types<pair_of<float, bf16>, pair_of<float, half>, pair_of<double, bf16>,
                                 pair_of<double, half>>;
TYPED_TEST_SUITE(conversions, formats);

TYPED_TEST(conversions, loads_every_number) {
  using C = typename TypeParam::state;
  using S = typename TypeParam::storage;
  constexpr std::size_t n = simd::lanes<C>;
  S numbers[n];
  C loaded[n];
  for (std::uint32_t first = 0; first < 0x10000; first += n) {
    for (std::size_t i = 0; i < n; ++i)
      numbers[i] = from_bits<S>(first + static_cast<std::uint32_t>(i));
    simd::store(loaded, simd::load<C>(numbers, 1, static_cast<int>(n)));
    for (std::size_t i = 0; i < n; ++i) {
      const C want = gatescan::convert<C>(numbers[i]);
      if (std::isnan(want))
        ASSERT_TRUE(std::isnan(loaded[i])) << numbers[i].bits;
      else
        ASSERT_EQ(loaded[i], want) << numbers[i].bits;
      ASSERT_EQ(std::signbit(loaded[i]), std::signbit(want)) << numbers[i].bits;
    }
  }
}

TYPED_TEST(conversions, stores_round_to_nearest_even) {
  using C = typename TypeParam::state;
  using S = typename TypeParam::storage;
  constexpr std::size_t n = simd::lanes<C>;
  std::vector<float> xs = floats();
  while (xs.size() % n != 0) xs.push_back(0);
  for (std::size_t first = 0; first < xs.size(); first += n) {
    C values[n];
    S stored[n];
    for (std::size_t i = 0; i < n; ++i) values[i] = xs[first + i];
    simd::store(stored, 1, static_cast<int>(n), simd::load(values));
    for (std::size_t i = 0; i < n; ++i) {
      const S want = gatescan::convert<S>(values[i]);
      if (std::isnan(values[i]))
        ASSERT_TRUE(std::isnan(static_cast<float>(stored[i])));
      else
        ASSERT_EQ(stored[i].bits, want.bits) << values[i];
    }
  }
}

}  // namespace
