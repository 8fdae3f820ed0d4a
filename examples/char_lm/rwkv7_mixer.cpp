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

void rwkv7_mixer::make_gates(const matrix& plain) {
  gates_.resize(plain.rows(), 3 * all_keys());
  gates_.leftCols(all_keys()).array() = strongest * plain.leftCols(all_keys()).array().logistic();
  for (index h = 0; h < heads_; ++h) {
    const index u = all_keys() + h * keys_, rate = u + all_keys();
    gates_.middleCols(u, keys_).array() =
        -plain.middleCols(u, keys_).array().colwise() * squares(plain, h).rsqrt();
    gates_.middleCols(rate, keys_).array() =
        -gates_.middleCols(u, keys_).array() * plain.middleCols(rate, keys_).array().logistic();
  }
}

void rwkv7_mixer::gates_backward(const matrix& plain, matrix& d_plain) const {
  const auto w = gates_.leftCols(all_keys()).array();
  d_plain.leftCols(all_keys()).array() =
      d_gates_.leftCols(all_keys()).array() * w * (1.0f - w / strongest);
  for (index h = 0; h < heads_; ++h) {
    const index at_u = all_keys() + h * keys_, at_rate = at_u + all_keys();
    const auto u = -gates_.middleCols(at_u, keys_).array();
    const auto rate = plain.middleCols(at_rate, keys_).array().logistic();
    const auto d_b = d_gates_.middleCols(at_rate, keys_).array();
    d_plain.middleCols(at_rate, keys_).array() = d_b * u * rate * (1.0f - rate);
    const matrix d_u = (d_b * rate - d_gates_.middleCols(at_u, keys_).array()).matrix();
    const auto along = (d_u.array() * u).rowwise().sum();  // the length is 1 whatever u is
    d_plain.middleCols(at_u, keys_).array() =
        (d_u.array() - u.colwise() * along).colwise() * squares(plain, h).rsqrt();
  }
}

void rwkv7_mixer::give_options(recurrence_inputs& x) const {
  x.scale = 1 / std::sqrt(static_cast<double>(keys_));
}

}  // namespace char_lm
