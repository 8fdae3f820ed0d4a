// Random numbers with one word of state: the same on every platform, and saved in a checkpoint as
// is.
#pragma once

#include <cmath>
#include <cstdint>

namespace char_lm {

/// SplitMix64 (Steele, Lea, Flood 2014).
class splitmix {
 public:
  explicit splitmix(std::uint64_t state) : state_(state) {}

  std::uint64_t state() const { return state_; }

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// Uniform in (0, 1).
  double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }

  /// Uniform in 0 .. n-1; the bias of the remainder is below n / 2^64.
  std::uint64_t below(std::uint64_t n) { return next() % n; }

  float normal() {
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    return static_cast<float>(radius * std::cos(6.283185307179586 * uniform()));
  }

 private:
  std::uint64_t state_;
};

}  // namespace char_lm
