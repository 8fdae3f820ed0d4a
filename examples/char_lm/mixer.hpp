// What the recurrences have in common as a layer: they make outputs [tokens, out] of
// projections of the same tokens, whole sequences at a time for training or token by token for
// streaming.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "execution.hpp"
#include "layers.hpp"

namespace char_lm {

/// Which projections a mixer wants: `convolved` columns go through the short convolution and silu
/// first (queries, keys, values), `plain` columns come as they are (gates).
struct mixer_columns {
  index convolved = 0, plain = 0, out = 0;
};

class mixer {
 public:
  virtual ~mixer() = default;

  virtual mixer_columns columns_wanted() const = 0;
  /// Initial bias of plain column c: spreads the decay rates over short and long memories.
  virtual float plain_bias(index c) const = 0;

  virtual void plan(const extent& size, const execution& how) = 0;
  virtual void forward(const flat& theta, const matrix& convolved, const matrix& plain,
                       matrix& out) = 0;
  /// Of the last forward; sets d_convolved and d_plain, adds to grad.
  virtual void backward(const flat& theta, flat& grad, const matrix& convolved, const matrix& plain,
                        const matrix& d_out, matrix& d_convolved, matrix& d_plain) = 0;

  /// Streaming: empties the state; then one token a call.
  virtual void reset() = 0;
  virtual void step(const flat& theta, const matrix& convolved, const matrix& plain,
                    matrix& out) = 0;

  /// The surrogate attention maps [time, time] of the last forward (batch 1), one a head.
  virtual std::vector<matrix> attention_maps(const matrix& convolved, const matrix& plain) = 0;
  /// Every mode on the operands of the last forward.
  virtual std::vector<mode_time> time_all_modes(const matrix& convolved, const matrix& plain,
                                                const execution& how) = 0;
};

inline const std::vector<std::string> recurrence_names = {
    "gateloop", "gla", "selective_scan", "mamba2", "gated_delta_net", "rwkv7", "mlstm"};

/// `name` is one of recurrence_names.
std::unique_ptr<mixer> make_mixer(const std::string& name, blueprint& b, index width, index heads);

// log(sigmoid(x)), without overflow.
template <class X>
auto log_sigmoid(const X& x) {
  return x.min(0.0f) - (-x.abs()).exp().log1p();
}

// Decays near 1, as in the paper of gla: log(sigmoid(x)) / 16, and its adjoint.
template <class X>
auto log_decay(const X& x) {
  return log_sigmoid(x) / 16.0f;
}
template <class X, class D>
auto log_decay_adjoint(const X& x, const D& d) {
  return d * (-x).logistic() / 16.0f;
}

}  // namespace char_lm
