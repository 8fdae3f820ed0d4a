// Training: the state that a checkpoint keeps, one optimizer step, and the held-out measure.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model.hpp"
#include "optimizer.hpp"
#include "options.hpp"
#include "text.hpp"

namespace char_lm {

/// Everything that the next step depends on, and the history for the loss curve.
struct training_state {
  struct measure {
    std::int64_t step = 0;
    double bits = 0;
  };
  std::int64_t step = 0, total = 0;  // steps done and planned
  flat theta;
  moments optimizer;
  window_order::place data;
  std::vector<float> losses;      // nats a byte of every step
  std::vector<measure> held_out;  // bits a byte
};

class trainer {
 public:
  trainer(const run_options& run, const corpus& text, const execution& how);

  training_state& state() { return state_; }
  const training_state& state() const { return state_; }
  /// Goes on from a state; its vectors must have this model's sizes.
  void restore(training_state s);

  /// Returns the loss of the batch in nats a byte.
  double step();
  /// Bits a byte of the held-out pieces, each read from an empty state; their first bytes do not
  /// count.
  double held_out_bits();

 private:
  // The batch in parts with a model and a gradient each. Their number does not depend on the
  // threads, so neither does any sum.
  struct shard {
    model training, measuring;
    index first, count;  // sequences of the batch
    flat gradient;
    std::vector<std::uint8_t> inputs, targets;
    double loss = 0;
  };

  run_options run_;
  const corpus& text_;
  int threads_;
  training_state state_;
  flat decays_, gradient_;
  window_order order_;
  std::vector<std::unique_ptr<shard>> shards_;
};

}  // namespace char_lm
