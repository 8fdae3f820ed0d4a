#include "mamba2_mixer.hpp"

#include <cmath>

namespace char_lm {

mamba2_mixer::mamba2_mixer(blueprint& b, index width, index heads)
    : matrix_mixer(b, width, heads), a_(static_cast<std::size_t>(heads), -1.0f) {}

// Steps from 0.2 to 0.002, geometric over the heads: memories from about 5 to about 500 tokens.
float mamba2_mixer::plain_bias(index c) const {
  if (c >= heads_) return 0;
  const float place = static_cast<float>(c) / static_cast<float>(std::max<index>(1, heads_ - 1));
  return std::log(std::expm1(0.2f * std::pow(0.01f, place)));
}

}  // namespace char_lm
