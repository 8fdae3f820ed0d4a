#include "gla_mixer.hpp"

#include <cmath>
#include <utility>

namespace char_lm {
namespace {

constexpr float gate_divisor = 16;  // keeps the decays near 1, as in the paper

}  // namespace

gla_mixer::gla_mixer(blueprint& b, index width, index heads)
    : heads_(heads),
      keys_(std::max<index>(1, width / (2 * heads))),
      values_(width / heads),
      scale_(1 / std::sqrt(static_cast<double>(keys_))),
      finish_(b, heads, values_) {}

mixer_columns gla_mixer::columns_wanted() const {
  const index keys = heads_ * keys_, values = heads_ * values_;
  return {.convolved = 2 * keys + values, .plain = keys + values, .out = values};
}

// Memories from about 4 to about 900 tokens in every head.
float gla_mixer::plain_bias(index c) const {
  if (c >= heads_ * keys_) return 0;
  const float place =
      static_cast<float>(c % keys_) / static_cast<float>(std::max<index>(1, keys_ - 1));
  return -4.0f + 8.0f * place;
}

void gla_mixer::plan(const extent& size, const execution& how) {
  size_ = size;
  kernel_ = kernel<recurrence>(how, problem());
}

gatescan::gla::problem<float> gla_mixer::problem() const {
  return {
      .batch = size_.batch, .time = size_.time, .heads = heads_, .keys = keys_, .values = values_};
}

gatescan::gla::inputs<float> gla_mixer::inputs(const matrix& convolved) const {
  const index keys = heads_ * keys_;
  return {.q = head_columns(convolved, size_, 0, heads_, keys_),
          .k = head_columns(convolved, size_, keys, heads_, keys_),
          .v = head_columns(convolved, size_, 2 * keys, heads_, values_),
          .log_decay = head_columns(log_decay_, size_, 0, heads_, keys_),
          .scale = scale_};
}

gatescan::gla::gradients<float> gla_mixer::gradients(matrix& d_convolved) {
  const index keys = heads_ * keys_;
  return {.q = head_columns(d_convolved, size_, 0, heads_, keys_),
          .k = head_columns(d_convolved, size_, keys, heads_, keys_),
          .v = head_columns(d_convolved, size_, 2 * keys, heads_, values_),
          .log_decay = head_columns(d_log_decay_, size_, 0, heads_, keys_)};
}

void gla_mixer::forward(const flat& theta, const matrix& convolved, const matrix& plain,
                        matrix& out) {
  const index keys = heads_ * keys_;
  log_decay_ = log_sigmoid(plain.leftCols(keys).array()) / gate_divisor;
  o_.resize(plain.rows(), heads_ * values_);
  kernel_.forward(inputs(convolved), {.out = head_columns(o_, size_, 0, heads_, values_)});
  finish_.forward(theta, o_, plain, keys, out);
}

void gla_mixer::backward(const flat& theta, flat& grad, const matrix& convolved,
                         const matrix& plain, const matrix& d_out, matrix& d_convolved,
                         matrix& d_plain) {
  const index keys = heads_ * keys_;
  d_convolved.resize(convolved.rows(), convolved.cols());
  d_plain.resize(plain.rows(), plain.cols());
  d_log_decay_.resize(plain.rows(), keys);
  finish_.backward(theta, grad, o_, plain, keys, d_out, d_o_, d_plain);
  kernel_.backward(inputs(convolved),
                   {.out = head_columns(std::as_const(d_o_), size_, 0, heads_, values_)},
                   gradients(d_convolved));
  d_plain.leftCols(keys).array() =
      d_log_decay_.array() * (-plain.leftCols(keys).array()).logistic() / gate_divisor;
}

void gla_mixer::reset() { state_.setZero(heads_ * keys_, values_); }

void gla_mixer::step(const flat& theta, const matrix& convolved, const matrix& plain, matrix& out) {
  const index keys = heads_ * keys_;
  log_decay_ = log_sigmoid(plain.leftCols(keys).array()) / gate_divisor;
  o_.resize(1, heads_ * values_);
  const float* q = convolved.data();
  gatescan::step(gatescan::cpu{.threads = 1},
                 recurrence::token<float>{.q = {q, {1, heads_, keys_}},
                                          .k = {q + keys, {1, heads_, keys_}},
                                          .v = {q + 2 * keys, {1, heads_, values_}},
                                          .log_decay = {log_decay_.data(), {1, heads_, keys_}},
                                          .scale = scale_},
                 gatescan::view<float>{state_.data(), {1, heads_, keys_, values_}},
                 gatescan::view<float>{o_.data(), {1, heads_, values_}});
  finish_.forward(theta, o_, plain, keys, out);
}

std::vector<matrix> gla_mixer::attention_maps(const matrix& convolved, const matrix&) {
  return collect_maps(heads_, size_.time, [&](const gatescan::view<float>& map) {
    gatescan::attention_map(gatescan::cpu{.threads = 1}, inputs(convolved), map);
  });
}

std::vector<mode_time> gla_mixer::time_all_modes(const matrix& convolved, const matrix&,
                                                 const execution& how) {
  matrix d_convolved(convolved.rows(), convolved.cols());
  d_log_decay_.resize(log_decay_.rows(), log_decay_.cols());
  const matrix d_o = matrix::Ones(o_.rows(), o_.cols());
  return time_modes<recurrence>(
      problem(), inputs(convolved), {.out = head_columns(o_, size_, 0, heads_, values_)},
      {.out = head_columns(d_o, size_, 0, heads_, values_)}, gradients(d_convolved), o_, how);
}

}  // namespace char_lm
