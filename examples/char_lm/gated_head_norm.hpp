// The output stage of recurrences with a state of keys and values: y = rms_norm(o, head by head) *
// silu(z).
#pragma once

#include "layers.hpp"

namespace char_lm {

class gated_head_norm {
 public:
  gated_head_norm(blueprint& b, index heads, index values);

  /// z is columns [first, first + heads * values) of `gates`, here and in backward.
  void forward(const flat& theta, matrix& o, const matrix& gates, index first, matrix& y);
  /// Sets d_o and those columns of d_gates.
  void backward(const flat& theta, flat& grad, matrix& o, const matrix& gates, index first,
                const matrix& d_y, matrix& d_o, matrix& d_gates);

 private:
  index heads_, values_;
  rms_norm norm_;
  matrix normal_, d_normal_;
};

}  // namespace char_lm
