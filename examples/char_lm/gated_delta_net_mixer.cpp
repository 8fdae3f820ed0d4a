#include "gated_delta_net_mixer.hpp"

#include <utility>

namespace char_lm {
namespace {

constexpr float gate_divisor = 16;  // keeps the decays near 1

}  // namespace

gated_delta_net_mixer::gated_delta_net_mixer(blueprint& b, index width, index heads)
    : heads_(heads),
      keys_(std::max<index>(1, width / (2 * heads))),
      values_(width / heads),
      finish_(b, heads, values_) {}

mixer_columns gated_delta_net_mixer::columns_wanted() const {
  const index keys = heads_ * keys_, values = heads_ * values_;
  return {.convolved = 2 * keys + values, .plain = 2 * heads_ + values, .out = values};
}

// Memories from about 20 to about 900 tokens, one a head.
float gated_delta_net_mixer::plain_bias(index c) const {
  if (c >= heads_) return 0;
  return 4.0f * static_cast<float>(c) / static_cast<float>(std::max<index>(1, heads_ - 1));
}

void gated_delta_net_mixer::plan(const extent& size, const execution& how) {
  size_ = size;
  kernel_ = kernel<recurrence>(how, problem());
}

gatescan::gated_delta_net::problem<float> gated_delta_net_mixer::problem() const {
  return {
      .batch = size_.batch, .time = size_.time, .heads = heads_, .keys = keys_, .values = values_};
}

gatescan::gated_delta_net::inputs<float> gated_delta_net_mixer::inputs(
    const matrix& convolved) const {
  const index keys = heads_ * keys_;
  return {.q = head_columns(convolved, size_, 0, heads_, keys_),
          .k = head_columns(convolved, size_, keys, heads_, keys_),
          .v = head_columns(convolved, size_, 2 * keys, heads_, values_),
          .beta = columns(beta_, size_, 0, heads_),
          .log_decay = head_columns(log_decay_, size_, 0, heads_, 1),
          .normalise = true};
}

gatescan::gated_delta_net::gradients<float> gated_delta_net_mixer::gradients(matrix& d_convolved) {
  const index keys = heads_ * keys_;
  return {.q = head_columns(d_convolved, size_, 0, heads_, keys_),
          .k = head_columns(d_convolved, size_, keys, heads_, keys_),
          .v = head_columns(d_convolved, size_, 2 * keys, heads_, values_),
          .beta = columns(d_beta_, size_, 0, heads_),
          .log_decay = head_columns(d_log_decay_, size_, 0, heads_, 1)};
}

void gated_delta_net_mixer::make_gates(const matrix& plain) {
  log_decay_ = log_sigmoid(plain.leftCols(heads_).array()) / gate_divisor;
  beta_ = plain.middleCols(heads_, heads_).array().logistic();
}

void gated_delta_net_mixer::forward(const flat& theta, const matrix& convolved, const matrix& plain,
                                    matrix& out) {
  make_gates(plain);
  o_.resize(plain.rows(), heads_ * values_);
  kernel_.forward(inputs(convolved), {.out = head_columns(o_, size_, 0, heads_, values_)});
  finish_.forward(theta, o_, plain, 2 * heads_, out);
}

void gated_delta_net_mixer::backward(const flat& theta, flat& grad, const matrix& convolved,
                                     const matrix& plain, const matrix& d_out, matrix& d_convolved,
                                     matrix& d_plain) {
  d_convolved.resize(convolved.rows(), convolved.cols());
  d_plain.resize(plain.rows(), plain.cols());
  d_log_decay_.resize(plain.rows(), heads_);
  d_beta_.resize(plain.rows(), heads_);
  finish_.backward(theta, grad, o_, plain, 2 * heads_, d_out, d_o_, d_plain);
  kernel_.backward(inputs(convolved),
                   {.out = head_columns(std::as_const(d_o_), size_, 0, heads_, values_)},
                   gradients(d_convolved));
  d_plain.leftCols(heads_).array() =
      d_log_decay_.array() * (-plain.leftCols(heads_).array()).logistic() / gate_divisor;
  d_plain.middleCols(heads_, heads_).array() =
      d_beta_.array() * beta_.array() * (1.0f - beta_.array());
}

void gated_delta_net_mixer::reset() { state_.setZero(heads_ * keys_, values_); }

void gated_delta_net_mixer::step(const flat& theta, const matrix& convolved, const matrix& plain,
                                 matrix& out) {
  const index keys = heads_ * keys_;
  make_gates(plain);
  o_.resize(1, heads_ * values_);
  const float* q = convolved.data();
  gatescan::step(gatescan::cpu{.threads = 1},
                 recurrence::token<float>{.q = {q, {1, heads_, keys_}},
                                          .k = {q + keys, {1, heads_, keys_}},
                                          .v = {q + 2 * keys, {1, heads_, values_}},
                                          .beta = {beta_.data(), {1, heads_}},
                                          .log_decay = {log_decay_.data(), {1, heads_, 1}},
                                          .normalise = true},
                 gatescan::view<float>{state_.data(), {1, heads_, keys_, values_}},
                 gatescan::view<float>{o_.data(), {1, heads_, values_}});
  finish_.forward(theta, o_, plain, 2 * heads_, out);
}

std::vector<matrix> gated_delta_net_mixer::attention_maps(const matrix& convolved, const matrix&) {
  return collect_maps(heads_, size_.time, [&](const gatescan::view<float>& map) {
    gatescan::attention_map(gatescan::cpu{.threads = 1}, inputs(convolved), map);
  });
}

std::vector<mode_time> gated_delta_net_mixer::time_all_modes(const matrix& convolved, const matrix&,
                                                             const execution& how) {
  matrix d_convolved(convolved.rows(), convolved.cols());
  d_log_decay_.resize(log_decay_.rows(), log_decay_.cols());
  d_beta_.resize(beta_.rows(), beta_.cols());
  const matrix d_o = matrix::Ones(o_.rows(), o_.cols());
  return time_modes<recurrence>(
      problem(), inputs(convolved), {.out = head_columns(o_, size_, 0, heads_, values_)},
      {.out = head_columns(d_o, size_, 0, heads_, values_)}, gradients(d_convolved), o_, how);
}

}  // namespace char_lm
