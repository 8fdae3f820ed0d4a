// How a tensor core adds (Fasi, Higham, Mikaitis and Pranesh, PeerJ Comput. Sci. 7, 2021): terms
// are shifted to the largest exponent among them and lose what is then below 24 bits, and so does
// the sum. All towards 0; a GPU may keep a few bits more.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>

namespace support {
namespace emulation {

inline double power_of_2(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

template <class Terms>
float truncated_sum(const Terms& terms) {
  float plain = 0;
  std::uint32_t largest = 0;  // magnitude, as bits
  for (const float x : terms)
    plain += x, largest = std::max(largest, std::bit_cast<std::uint32_t>(x) & 0x7fffffffu);
  if (!(plain - plain == 0) || largest == 0) return plain;  // Inf, NaN, or nothing
  const int exponent = std::max(static_cast<int>(largest >> 23), 1) - 127 - 23;
  const double units = power_of_2(-exponent);
  std::int64_t sum = 0;
  for (const float x : terms) sum += static_cast<std::int64_t>(static_cast<double>(x) * units);
  double unit = power_of_2(exponent);
  for (; std::llabs(sum) >= 1 << 24; sum /= 2) unit *= 2;  // bits that are too many for a float
  return static_cast<float>(static_cast<double>(sum) * unit);
}

}  // namespace emulation
}  // namespace support
