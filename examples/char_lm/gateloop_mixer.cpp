#include "gateloop_mixer.hpp"

#include <cmath>
#include <utility>

namespace char_lm {
namespace {

constexpr float gate_divisor = 16;  // keeps the decays near 1, as in the paper

}  // namespace

gateloop_mixer::gateloop_mixer(blueprint& b, index width, index heads)
    : heads_(heads),
      keys_(std::max<index>(1, width / (2 * heads))),
      values_(width / heads),
      finish_(b, heads, values_) {}

mixer_columns gateloop_mixer::columns_wanted() const {
  const index keys = heads_ * keys_, values = heads_ * values_;
  return {.convolved = 2 * keys + values, .plain = 2 * keys + values, .out = values};
}

// In every head memories from about 4 to about 900 tokens, and turns from one radian to almost
// none.
float gateloop_mixer::plain_bias(index c) const {
  if (c >= 2 * heads_ * keys_) return 0;
  const float place =
      static_cast<float>(c % keys_) / static_cast<float>(std::max<index>(1, keys_ - 1));
  return c < heads_ * keys_ ? -4.0f + 8.0f * place : std::pow(0.005f, place);
}

void gateloop_mixer::plan(const extent& size, const execution& how) {
  size_ = size;
  kernel_ = kernel<recurrence>(how, problem());
}

gatescan::gateloop::problem<float> gateloop_mixer::problem() const {
  return {
      .batch = size_.batch, .time = size_.time, .heads = heads_, .keys = keys_, .values = values_};
}

gatescan::gateloop::inputs<float> gateloop_mixer::inputs(const matrix& convolved) const {
  const index keys = heads_ * keys_;
  return {.q = head_columns(convolved, size_, 0, heads_, keys_),
          .k = head_columns(convolved, size_, keys, heads_, keys_),
          .v = head_columns(convolved, size_, 2 * keys, heads_, values_),
          .log_magnitude = head_columns(gates_, size_, 0, heads_, keys_),
          .phase = head_columns(gates_, size_, keys, heads_, keys_)};
}

gatescan::gateloop::gradients<float> gateloop_mixer::gradients(matrix& d_convolved) {
  const index keys = heads_ * keys_;
  return {.q = head_columns(d_convolved, size_, 0, heads_, keys_),
          .k = head_columns(d_convolved, size_, keys, heads_, keys_),
          .v = head_columns(d_convolved, size_, 2 * keys, heads_, values_),
          .log_magnitude = head_columns(d_gates_, size_, 0, heads_, keys_),
          .phase = head_columns(d_gates_, size_, keys, heads_, keys_)};
}

void gateloop_mixer::make_gates(const matrix& plain) {
  const index keys = heads_ * keys_;
  gates_ = plain.leftCols(2 * keys);
  gates_.leftCols(keys).array() = log_sigmoid(plain.leftCols(keys).array()) / gate_divisor;
}

void gateloop_mixer::forward(const flat& theta, const matrix& convolved, const matrix& plain,
                             matrix& out) {
  const index keys = heads_ * keys_;
  make_gates(plain);
  o_.resize(plain.rows(), heads_ * values_);
  kernel_.forward(inputs(convolved), {.out = head_columns(o_, size_, 0, heads_, values_)});
  finish_.forward(theta, o_, plain, 2 * keys, out);
}

void gateloop_mixer::backward(const flat& theta, flat& grad, const matrix& convolved,
                              const matrix& plain, const matrix& d_out, matrix& d_convolved,
                              matrix& d_plain) {
  const index keys = heads_ * keys_;
  d_convolved.resize(convolved.rows(), convolved.cols());
  d_plain.resize(plain.rows(), plain.cols());
  d_gates_.resize(plain.rows(), 2 * keys);
  finish_.backward(theta, grad, o_, plain, 2 * keys, d_out, d_o_, d_plain);
  kernel_.backward(inputs(convolved),
                   {.out = head_columns(std::as_const(d_o_), size_, 0, heads_, values_)},
                   gradients(d_convolved));
  d_plain.leftCols(keys).array() =
      d_gates_.leftCols(keys).array() * (-plain.leftCols(keys).array()).logistic() / gate_divisor;
  d_plain.middleCols(keys, keys) = d_gates_.rightCols(keys);
}

void gateloop_mixer::reset() {
  state_re_.setZero(heads_ * keys_, values_);
  state_im_.setZero(heads_ * keys_, values_);
}

void gateloop_mixer::step(const flat& theta, const matrix& convolved, const matrix& plain,
                          matrix& out) {
  const index keys = heads_ * keys_;
  make_gates(plain);
  o_.resize(1, heads_ * values_);
  const float* q = convolved.data();
  const gatescan::view<float> re{state_re_.data(), {1, heads_, keys_, values_}};
  const gatescan::view<float> im{state_im_.data(), {1, heads_, keys_, values_}};
  gatescan::step(
      gatescan::cpu{.threads = 1},
      recurrence::token<float>{.q = gatescan::view<const float>{q, {1, heads_, keys_}},
                               .k = gatescan::view<const float>{q + keys, {1, heads_, keys_}},
                               .v = {q + 2 * keys, {1, heads_, values_}},
                               .log_magnitude = {gates_.data(), {1, heads_, keys_}},
                               .phase = {gates_.data() + keys, {1, heads_, keys_}}},
      gatescan::complex_view<float>{re, im},
      gatescan::view<float>{o_.data(), {1, heads_, values_}});
  finish_.forward(theta, o_, plain, 2 * keys, out);
}

std::vector<matrix> gateloop_mixer::attention_maps(const matrix& convolved, const matrix&) {
  return collect_maps(heads_, size_.time, [&](const gatescan::view<float>& map) {
    gatescan::attention_map(gatescan::cpu{.threads = 1}, inputs(convolved), map);
  });
}

std::vector<mode_time> gateloop_mixer::time_all_modes(const matrix& convolved, const matrix&,
                                                      const execution& how) {
  matrix d_convolved(convolved.rows(), convolved.cols());
  d_gates_.resize(gates_.rows(), gates_.cols());
  const matrix d_o = matrix::Ones(o_.rows(), o_.cols());
  return time_modes<recurrence>(
      problem(), inputs(convolved), {.out = head_columns(o_, size_, 0, heads_, values_)},
      {.out = head_columns(d_o, size_, 0, heads_, values_)}, gradients(d_convolved), o_, how);
}

}  // namespace char_lm
