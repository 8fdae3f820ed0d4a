#include "rwkv7_mixer.hpp"

#include <cmath>

namespace char_lm {

namespace {
constexpr float strongest = -0.60653066f;  // w, -e^(-1/2)
}

// Memories from about 2 to about 200 tokens over the keys of a head; rates of 1/2 to begin with.
float rwkv7_mixer::plain_bias(index c) const {
  return c < all_keys() ? 1.0f - 6.0f * place_in_head(c) : 0.0f;
}

Eigen::ArrayXf rwkv7_mixer::inverse_lengths(const matrix& plain, index head) const {
  const auto u = plain.middleCols(all_keys() + head * keys_, keys_).array();
  return (u.square().rowwise().sum() + 1e-6f).rsqrt();
}

void rwkv7_mixer::make_gates(const matrix& plain) {
  gates_.resize(plain.rows(), 3 * all_keys());
  gates_.leftCols(all_keys()).array() = strongest * plain.leftCols(all_keys()).array().logistic();
  for (index h = 0; h < heads_; ++h) {
    const index a = all_keys() + h * keys_, b = a + all_keys();
    const Eigen::ArrayXf scale = -inverse_lengths(plain, h);
    gates_.middleCols(a, keys_).array() = plain.middleCols(a, keys_).array().colwise() * scale;
    gates_.middleCols(b, keys_).array() =
        -gates_.middleCols(a, keys_).array() * plain.middleCols(b, keys_).array().logistic();
  }
}

void rwkv7_mixer::gates_backward(const matrix& plain, matrix& d_plain) const {
  const auto w = gates_.leftCols(all_keys()).array();
  d_plain.leftCols(all_keys()).array() =
      d_gates_.leftCols(all_keys()).array() * w * (1.0f - w / strongest);
  for (index h = 0; h < heads_; ++h) {
    const index a = all_keys() + h * keys_, b = a + all_keys();
    const Eigen::ArrayXXf u = -gates_.middleCols(a, keys_).array();
    const Eigen::ArrayXXf rate = plain.middleCols(b, keys_).array().logistic();
    const Eigen::ArrayXXf d_b = d_gates_.middleCols(b, keys_).array();
    d_plain.middleCols(b, keys_).array() = d_b * u * rate * (1.0f - rate);
    const Eigen::ArrayXXf d_u = d_b * rate - d_gates_.middleCols(a, keys_).array();
    const Eigen::ArrayXf along = (d_u * u).rowwise().sum();  // a length of 1 stays
    d_plain.middleCols(a, keys_).array() =
        (d_u - u.colwise() * along).colwise() * inverse_lengths(plain, h);
  }
}

void rwkv7_mixer::give_options(recurrence_inputs& x) const {
  x.scale = 1 / std::sqrt(static_cast<double>(keys_));
}

}  // namespace char_lm
