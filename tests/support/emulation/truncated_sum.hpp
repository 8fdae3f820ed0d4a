// How a tensor core adds (Fasi, Higham, Mikaitis and Pranesh, PeerJ Comput. Sci. 7, 2021): terms
// are shifted to the largest exponent among them and lose what is then below 24 bits, and so does
// the sum. All towards 0; a GPU may keep a few bits more.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>

namespace support {
namespace emulation {

template <class Terms>
float truncated_sum(const Terms& terms) {
  float largest = 0, plain = 0;
  for (const float x : terms) plain += x, largest = std::fmax(largest, std::fabs(x));
  if (!(plain - plain == 0) || largest == 0) return plain;  // Inf, NaN, or nothing
  const int exponent = std::ilogb(largest) - 23;
  const double unit = std::ldexp(1.0, exponent), units = std::ldexp(1.0, -exponent);
  std::int64_t sum = 0;
  for (const float x : terms) sum += static_cast<std::int64_t>(static_cast<double>(x) * units);
  double lost = 1;  // bits that are too many for a float
  for (; std::llabs(sum) >= 1 << 24; sum /= 2) lost *= 2;
  return static_cast<float>(static_cast<double>(sum) * unit * lost);
}

}  // namespace emulation
}  // namespace support
