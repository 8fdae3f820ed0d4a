// A causal convolution over the last four tokens, channel by channel, followed by silu. It gives
// keys, queries and values a view of the neighbouring bytes before the recurrence takes over.
#pragma once

#include "execution.hpp"
#include "parameters.hpp"

namespace char_lm {

class short_conv {
 public:
  static constexpr index width = 4;

  short_conv(blueprint& b, index channels);

  /// Where ranks share sequences, the tokens before a piece come from the one before it.
  void plan(const ranks* sequence) { sequence_ = sequence; }
  void forward(const flat& theta, const extent& size, const matrix& x, matrix& y);
  /// Overwrites d_y on the way; sets d_x.
  void backward(const flat& theta, flat& grad, const extent& size, const matrix& x, matrix& d_y,
                matrix& d_x);

  /// One token; `past` [3, channels] holds the inputs before it and is moved on.
  void step(const flat& theta, matrix& past, const matrix& x, matrix& y) const;

 private:
  bool continues() const;

  slot taps_, bias_;
  const ranks* sequence_ = nullptr;
  matrix before_;  // the three inputs before each sequence
  matrix sum_;     // before silu
  row_array sigmoid_;
};

}  // namespace char_lm
