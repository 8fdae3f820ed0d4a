// The language model: embedding; blocks of (norm, time mixing, residual; norm, gated MLP,
// residual); norm; head. One object holds the activations of one shard; the weights are the
// caller's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "layers.hpp"
#include "time_mixing.hpp"

namespace char_lm {

inline constexpr index alphabet = 256;

/// What the weights depend on.
struct architecture {
  std::string recurrence = "gla";
  index width = 128, depth = 3, heads = 4;
};

class block {
 public:
  block(blueprint& b, const architecture& a);

  void plan(const extent& size, const execution& how) { mixing_.plan(size, how); }
  /// x is the residual stream, changed in place; so is its gradient.
  void forward(const flat& theta, matrix& x);
  void backward(const flat& theta, flat& grad, matrix& d_x);
  void reset() { mixing_.reset(); }
  void step(const flat& theta, matrix& x);

  time_mixing& mixing() { return mixing_; }

 private:
  rms_norm mixing_norm_;
  time_mixing mixing_;
  rms_norm mlp_norm_;
  gated_mlp mlp_;
  matrix x_in_, x_middle_, normal_in_, normal_middle_, y_, d_normal_;
};

class model {
 public:
  model(blueprint& b, const architecture& a);

  /// Sequences of this size from now on, computed this way.
  void plan(const extent& size, const execution& how);

  /// Bytes [batch * time] to the logits of the byte after each.
  const matrix& forward(const flat& theta, std::span<const std::uint8_t> bytes);
  /// Sum over all tokens of -ln p(target), of the last forward.
  double loss(std::span<const std::uint8_t> targets);
  /// Adds the gradient of weight * loss to grad. After loss().
  void backward(const flat& theta, flat& grad, float weight);

  /// Streaming: empties the state; then logits [1, 256] of the byte after `byte`.
  void reset();
  const matrix& step(const flat& theta, std::uint8_t byte);

  time_mixing& mixing(index depth) { return blocks_[static_cast<std::size_t>(depth)].mixing(); }

 private:
  slot embedding_;
  std::vector<block> blocks_;
  rms_norm norm_;
  linear head_;
  std::vector<std::uint8_t> bytes_, targets_;
  matrix x_, normal_, logits_, probabilities_, d_normal_, d_x_;
};

}  // namespace char_lm
