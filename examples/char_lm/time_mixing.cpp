#include "time_mixing.hpp"

#include <stdexcept>

#include "gated_delta_net_mixer.hpp"
#include "gateloop_mixer.hpp"
#include "gla_mixer.hpp"
#include "mamba2_mixer.hpp"
#include "mlstm_mixer.hpp"
#include "rwkv7_mixer.hpp"
#include "selective_scan_mixer.hpp"

namespace char_lm {

std::unique_ptr<mixer> make_mixer(const std::string& name, blueprint& b, index width, index heads) {
  if (name == "gated_delta_net") return std::make_unique<gated_delta_net_mixer>(b, width, heads);
  if (name == "gateloop") return std::make_unique<gateloop_mixer>(b, width, heads);
  if (name == "gla") return std::make_unique<gla_mixer>(b, width, heads);
  if (name == "mamba2") return std::make_unique<mamba2_mixer>(b, width, heads);
  if (name == "mlstm") return std::make_unique<mlstm_mixer>(b, width, heads);
  if (name == "rwkv7") return std::make_unique<rwkv7_mixer>(b, width, heads);
  if (name == "selective_scan") return std::make_unique<selective_scan_mixer>(b, width, heads);
  throw std::invalid_argument("unknown recurrence " + name);
}

time_mixing::time_mixing(blueprint& b, const std::string& recurrence, index width, index heads,
                         float out_gain)
    : mixer_(make_mixer(recurrence, b, width, heads)),
      to_convolved_(b, width, mixer_->columns_wanted().convolved),
      to_plain_(b, width, mixer_->columns_wanted().plain, 0.3f),
      conv_(b, mixer_->columns_wanted().convolved),
      out_(b, mixer_->columns_wanted().out, width, out_gain) {
  to_plain_.with_bias(b, [this](index c) { return mixer_->plain_bias(c); });
}

void time_mixing::plan(const extent& size, const execution& how) {
  size_ = size;
  mixer_->plan(size, how);
  conv_.plan(how.sequence);
}

void time_mixing::forward(const flat& theta, const matrix& x, matrix& y) {
  to_convolved_.forward(theta, x, before_conv_);
  to_plain_.forward(theta, x, plain_);
  conv_.forward(theta, size_, before_conv_, convolved_);
  mixer_->forward(theta, convolved_, plain_, mixed_);
  out_.forward(theta, mixed_, y);
}

void time_mixing::backward(const flat& theta, flat& grad, const matrix& x, const matrix& d_y,
                           matrix& d_x) {
  out_.backward(theta, grad, mixed_, d_y, d_mixed_);
  mixer_->backward(theta, grad, convolved_, plain_, d_mixed_, d_convolved_, d_plain_);
  conv_.backward(theta, grad, size_, before_conv_, d_convolved_, d_before_conv_);
  to_convolved_.backward(theta, grad, x, d_before_conv_, d_x);
  to_plain_.backward(theta, grad, x, d_plain_, d_x_part_);
  d_x += d_x_part_;
}

void time_mixing::reset() {
  past_.setZero(short_conv::width - 1, to_convolved_.outputs());
  mixer_->reset();
}

void time_mixing::step(const flat& theta, const matrix& x, matrix& y) {
  to_convolved_.forward(theta, x, before_conv_);
  to_plain_.forward(theta, x, plain_);
  conv_.step(theta, past_, before_conv_, convolved_);
  mixer_->step(theta, convolved_, plain_, mixed_);
  out_.forward(theta, mixed_, y);
}

}  // namespace char_lm
