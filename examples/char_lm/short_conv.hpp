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

  void forward(const flat& theta, const extent& size, const matrix& x, matrix& y);
  /// Overwrites d_y on the way; sets d_x.
  void backward(const flat& theta, flat& grad, const extent& size, const matrix& x, matrix& d_y,
                matrix& d_x);

  /// One token; `past` [3, channels] holds the inputs before it and is moved on.
  void step(const flat& theta, matrix& past, const matrix& x, matrix& y) const;

 private:
  slot taps_, bias_;
  matrix sum_;  // before silu
  row_array sigmoid_;
};

}  // namespace char_lm
