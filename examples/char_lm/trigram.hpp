// The baseline: a byte model that sees two bytes back, by interpolated absolute discounting.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "text.hpp"

namespace char_lm {

/// With counts c and T different successors of a context,
///   p(x | context) = (max(c(context x) - D, 0) + D T(context) p(x | shorter context)) /
///   c(context),
/// down to the uniform distribution, with one discount D an order.
class trigram {
 public:
  /// Counts the training text and takes the discounts that are best on the held-out text itself: an
  /// advantage that the network does not have.
  explicit trigram(const corpus& text);

  /// Bits per byte of the held-out pieces, without the first byte of each.
  double held_out_bits() const { return bits_; }

 private:
  struct successors {
    std::uint32_t total = 0, different = 0;
  };
  static constexpr int orders = 3;
  using discounts = std::array<double, orders>;

  double bits(const corpus& text, const discounts& d) const;
  double probability(bytes before, std::uint8_t next, const discounts& d) const;
  std::size_t context(bytes before, int order) const;

  std::array<std::uint16_t, 256> symbol_{};  // dense numbers for the bytes that occur
  std::size_t symbols_ = 0;
  // For order n: successors of every context of n - 1 bytes, and counts of context and next byte.
  std::array<std::vector<successors>, orders> contexts_;
  std::array<std::vector<std::uint32_t>, orders> counts_;
  double bits_ = 0;
};

}  // namespace char_lm
