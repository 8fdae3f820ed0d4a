// The training loop: progress line, time limit, held-out measures, checkpoints, stopping on a
// signal.
#pragma once

#include <chrono>

#include "options.hpp"
#include "progress.hpp"
#include "trainer.hpp"

namespace char_lm {

class training_run {
 public:
  training_run(const options& o, const corpus& text, trainer& learner, double trigram_bits,
               const ranks* all);

  /// Trains to the end, or until SIGINT or SIGTERM; finishes the step and saves a checkpoint.
  /// Returns the signal, or 0.
  int run();

 private:
  void agree();
  void measure();
  void save_checkpoint() const;
  void plan_time();
  double seconds_a_step() const;
  void show();

  const options& o_;
  const corpus& text_;
  trainer& learner_;
  double trigram_bits_;
  const ranks* all_;  // null: alone
  int stop_ = 0;      // the signal that one of them got
  progress line_;
  std::chrono::steady_clock::time_point start_;
  std::int64_t first_ = 0;                            // the step that this run began with
  std::chrono::steady_clock::time_point planned_at_;  // when and where the time was looked at last
  std::int64_t planned_step_ = 0;
  double step_seconds_ = 0, smooth_loss_ = 0;
};

}  // namespace char_lm
