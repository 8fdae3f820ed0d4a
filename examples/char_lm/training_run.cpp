#include "training_run.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <numbers>

#include "checkpoint.hpp"

namespace char_lm {
namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) {
  return std::chrono::duration<double>(clock::now() - start).count();
}

volatile std::sig_atomic_t stop_signal = 0;

// The first signal asks for a checkpoint, a second one ends the program at once.
extern "C" void on_signal(int signal) {
  stop_signal = signal;
  std::signal(signal, SIG_DFL);
}

// How many steps there will be if the remaining ones take `seconds_a_step` each: as many as asked
// for or as fit into the time. A plan that is off by less than a tenth stays, so that on a machine
// that is fast enough the numbers do not depend on the clock.
std::int64_t steps_in_time(const training_state& s, std::int64_t asked_for, double seconds_a_step,
                           double seconds_left) {
  const double fit = std::max(0.0, seconds_left) / seconds_a_step;
  const auto planned = static_cast<double>(s.total - s.step);
  const bool good = planned <= 1.1 * fit && (s.total == asked_for || planned >= 0.9 * fit);
  return good ? s.total : std::min(asked_for, s.step + static_cast<std::int64_t>(fit));
}

}  // namespace

training_run::training_run(const options& o, const corpus& text, trainer& learner,
                           double trigram_bits, const ranks* all)
    : o_(o), text_(text), learner_(learner), trigram_bits_(trigram_bits), all_(all) {}

int training_run::run() {
  training_state& s = learner_.state();
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  const std::int64_t measure_every = std::max(1, o_.run.steps / 12);
  start_ = clock::now();
  first_ = planned_step_ = s.step;
  if (s.held_out.empty()) measure();
  save_checkpoint();  // at once, so that a folder that cannot be written is known before the work
  planned_at_ = clock::now();
  while (s.step < s.total && stop_ == 0) {
    const clock::time_point step_start = clock::now();
    const double loss = learner_.step();
    step_seconds_ += seconds_since(step_start);
    smooth_loss_ = s.step - first_ == 1 ? loss : 0.95 * smooth_loss_ + 0.05 * loss;
    const bool measured = s.step % measure_every == 0 || s.step >= s.total;
    if (measured) {
      measure();
      save_checkpoint();
    }
    if (s.step < s.total && (measured || s.step - first_ == 10)) plan_time();
    if (line_.due() || measured) show();
    agree();
  }
  save_checkpoint();
  line_.end();
  return stop_;
}

// Clocks and signals are a rank's own: the first one's plan is that of all, a signal is for all.
void training_run::agree() {
  stop_ = stop_signal;
  if (all_ == nullptr) return;
  std::int64_t total = learner_.state().total;
  all_->broadcast(0, std::as_writable_bytes(std::span(&total, 1)));
  learner_.state().total = total;
  stop_ = static_cast<int>(all_->largest(stop_));
}

void training_run::measure() {
  training_state& s = learner_.state();
  s.held_out.push_back({s.step, learner_.held_out_bits()});
}

void training_run::save_checkpoint() const {
  if (all_ != nullptr && all_->own() != 0) return;
  save(o_.out / "checkpoint.bin", o_.run, text_.fingerprint, learner_.state());
}

double training_run::seconds_a_step() const {
  return seconds_since(start_) / static_cast<double>(learner_.state().step - first_);
}

void training_run::plan_time() {
  training_state& s = learner_.state();
  const clock::time_point now = clock::now();
  const double recent = std::chrono::duration<double>(now - planned_at_).count() /
                        static_cast<double>(s.step - planned_step_);
  const double left = 60 * o_.minutes - std::chrono::duration<double>(now - start_).count();
  planned_at_ = now;
  planned_step_ = s.step;
  const std::int64_t total = steps_in_time(s, o_.run.steps, recent, left);
  if (total == s.total) return;
  s.total = total;
  line_.end();
  std::printf("at %.2f seconds a step, %lld of %d steps fit into --minutes %g\n", recent,
              static_cast<long long>(s.total), o_.run.steps, o_.minutes);
}

void training_run::show() {
  const training_state& s = learner_.state();
  const double bytes_done = static_cast<double>(s.step - first_) * o_.run.batch * o_.run.context;
  line_.show(
      text_of("step %4lld/%lld  loss %.3f  train %.3f bits/byte  held-out %.3f (trigram %.3f)  "
              "%5.1fk bytes/s  %s left",
              static_cast<long long>(s.step), static_cast<long long>(s.total), smooth_loss_,
              smooth_loss_ / std::numbers::ln2, s.held_out.back().bits, trigram_bits_,
              bytes_done / step_seconds_ / 1000,
              clock_text(seconds_a_step() * static_cast<double>(s.total - s.step)).c_str()));
}

}  // namespace char_lm
