// Training: the state that a checkpoint keeps, one optimizer step, and the held-out measure.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "model.hpp"
#include "optimizer.hpp"
#include "options.hpp"
#include "ranks.hpp"
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
  /// `all`: each has some sequences of the batch, or a piece of them; null: alone. How many there
  /// are changes no bit, unless they share sequences.
  trainer(const run_options& run, const corpus& text, const execution& how, const ranks* all);

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
    int number;  // of all
    flat gradient;
    std::vector<std::uint8_t> inputs, targets;
  };

  bool is_shared() const { return all_ != nullptr && all_->a_sequence() > 1; }
  bool has(int number) const;
  index first_sequence(int number) const { return number * run_.batch / shard_count_; }
  void read_batch();
  void add_gradients();
  void each_part(const std::function<void(index, index)>& f) const;

  run_options run_;
  const corpus& text_;
  const ranks* all_;
  int threads_;
  int shard_count_ = 1;                      // of all ranks
  index piece_begin_ = 0, piece_count_ = 0;  // of the context
  training_state state_;
  flat decays_, gradient_;
  window_order order_;
  std::vector<std::unique_ptr<shard>> shards_;
};

}  // namespace char_lm
