#include "selective_scan_mixer.hpp"

#include <cmath>
#include <utility>

namespace char_lm {
namespace {

gatescan::view<const float> table(const matrix& m) { return {m.data(), {m.rows(), m.cols()}}; }
gatescan::view<float> table(matrix& m) { return {m.data(), {m.rows(), m.cols()}}; }
gatescan::view<const float> vector(const matrix& m) { return {m.data(), {m.cols()}}; }
gatescan::view<float> vector(matrix& m) { return {m.data(), {m.cols()}}; }

}  // namespace

// A = -1 .. -states and initial deltas from 0.002 to 0.2, as in the paper.
selective_scan_mixer::selective_scan_mixer(blueprint& b, index width, index heads)
    : heads_(heads),
      channels_(width * 3 / 2),
      states_(8),
      rank_(std::max<index>(4, width / 16)),
      widen_(b, rank_, channels_),
      log_minus_a_(b.filled(channels_, states_,
                            [](index, index n) { return std::log(static_cast<float>(n + 1)); })),
      skip_(b.filled(1, channels_, [](index, index) { return 1.0f; })),
      delta_bias_(b.filled(1, channels_, [this](index, index c) {
        const float place = static_cast<float>(c) / static_cast<float>(channels_);
        return std::log(std::expm1(0.002f * std::pow(100.0f, place)));  // inverse of softplus
      })) {}

// Convolved: u, B, C. Plain: delta before it is widened, z.
mixer_columns selective_scan_mixer::columns_wanted() const {
  return {.convolved = channels_ + 2 * states_, .plain = rank_ + channels_, .out = channels_};
}

float selective_scan_mixer::plain_bias(index) const { return 0; }

void selective_scan_mixer::plan(const extent& size, const execution& how) {
  size_ = size;
  kernel_ = kernel<recurrence>(how, problem());
}

gatescan::selective_scan::problem<float> selective_scan_mixer::problem() const {
  return {.batch = size_.batch,
          .time = size_.time,
          .channels = channels_,
          .states = states_,
          .groups = 1};
}

void selective_scan_mixer::prepare(const flat& theta, const matrix& plain) {
  low_ = plain.leftCols(rank_);
  widen_.forward(theta, low_, delta_);
  a_ = -log_minus_a_.in(theta).array().exp();
  d_vector_ = skip_.in(theta);
  bias_ = delta_bias_.in(theta);
}

gatescan::selective_scan::inputs<float> selective_scan_mixer::inputs(const matrix& convolved,
                                                                     const matrix& plain) const {
  return {.u = columns(convolved, size_, 0, channels_),
          .delta = columns(delta_, size_, 0, channels_),
          .A = table(a_),
          .B = columns(convolved, size_, channels_, states_),
          .C = columns(convolved, size_, channels_ + states_, states_),
          .D = vector(d_vector_),
          .z = columns(plain, size_, rank_, channels_),
          .delta_bias = vector(bias_),
          .softplus = true};
}

gatescan::selective_scan::gradients<float> selective_scan_mixer::gradients(matrix& d_convolved,
                                                                           matrix& d_plain) {
  d_delta_.resize(delta_.rows(), delta_.cols());
  d_a_.resize(channels_, states_);
  d_skip_.resize(1, channels_);
  d_bias_.resize(1, channels_);
  return {.u = columns(d_convolved, size_, 0, channels_),
          .delta = columns(d_delta_, size_, 0, channels_),
          .A = table(d_a_),
          .B = columns(d_convolved, size_, channels_, states_),
          .C = columns(d_convolved, size_, channels_ + states_, states_),
          .D = vector(d_skip_),
          .z = columns(d_plain, size_, rank_, channels_),
          .delta_bias = vector(d_bias_)};
}

void selective_scan_mixer::forward(const flat& theta, const matrix& convolved, const matrix& plain,
                                   matrix& out) {
  prepare(theta, plain);
  out.resize(plain.rows(), channels_);
  kernel_.forward(inputs(convolved, plain), {.out = columns(out, size_, 0, channels_)});
}

void selective_scan_mixer::backward(const flat& theta, flat& grad, const matrix& convolved,
                                    const matrix& plain, const matrix& d_out, matrix& d_convolved,
                                    matrix& d_plain) {
  d_convolved.resize(convolved.rows(), convolved.cols());
  d_plain.resize(plain.rows(), plain.cols());
  kernel_.backward(inputs(convolved, plain), {.out = columns(d_out, size_, 0, channels_)},
                   gradients(d_convolved, d_plain));
  log_minus_a_.in(grad).array() += d_a_.array() * a_.array();
  skip_.in(grad) += d_skip_;
  delta_bias_.in(grad) += d_bias_;
  widen_.backward(theta, grad, low_, d_delta_, d_low_);
  d_plain.leftCols(rank_) = d_low_;
}

void selective_scan_mixer::reset() { state_.setZero(channels_, states_); }

void selective_scan_mixer::step(const flat& theta, const matrix& convolved, const matrix& plain,
                                matrix& out) {
  prepare(theta, plain);
  out.resize(1, channels_);
  const float* u = convolved.data();
  gatescan::step(gatescan::cpu{.threads = 1},
                 recurrence::token<float>{.u = {u, {1, channels_}},
                                          .delta = {delta_.data(), {1, channels_}},
                                          .A = table(std::as_const(a_)),
                                          .B = {u + channels_, {1, states_}},
                                          .C = {u + channels_ + states_, {1, states_}},
                                          .D = vector(std::as_const(d_vector_)),
                                          .z = {plain.data() + rank_, {1, channels_}},
                                          .delta_bias = vector(std::as_const(bias_)),
                                          .softplus = true},
                 gatescan::view<float>{state_.data(), {1, channels_, states_}},
                 gatescan::view<float>{out.data(), {1, channels_}});
}

// A map a channel would be too many to look at: the mean over each of `heads` groups of channels.
std::vector<matrix> selective_scan_mixer::attention_maps(const matrix& convolved,
                                                         const matrix& plain) {
  const auto all = collect_maps(channels_, size_.time, [&](const gatescan::view<float>& map) {
    gatescan::attention_map(gatescan::cpu{.threads = 1}, inputs(convolved, plain), map);
  });
  std::vector<matrix> means;
  for (index h = 0; h < heads_; ++h) {
    const index begin = h * channels_ / heads_, end = (h + 1) * channels_ / heads_;
    means.emplace_back(matrix::Zero(size_.time, size_.time));
    for (index c = begin; c < end; ++c)
      means.back() += all[static_cast<std::size_t>(c)] / static_cast<float>(end - begin);
  }
  return means;
}

std::vector<mode_time> selective_scan_mixer::time_all_modes(const matrix& convolved,
                                                            const matrix& plain,
                                                            const execution& how) {
  matrix d_convolved(convolved.rows(), convolved.cols()), d_plain(plain.rows(), plain.cols());
  matrix out(plain.rows(), channels_);
  const matrix d_out = matrix::Ones(out.rows(), out.cols());
  return time_modes<recurrence>(
      problem(), inputs(convolved, plain), {.out = columns(out, size_, 0, channels_)},
      {.out = columns(d_out, size_, 0, channels_)}, gradients(d_convolved, d_plain), out, how);
}

}  // namespace char_lm
