#include "training_run.hpp"

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

// Steps that fit into the time. Planned after a few steps and again at each held-out measure; never
// more than asked for, and cut only when the time would be missed by a tenth, so that on a fast
// enough machine the numbers do not depend on the clock.
std::int64_t steps_in_time(const training_state& s, double seconds_a_step, double seconds_left) {
  const auto remaining = static_cast<double>(s.total - s.step);
  if (remaining * seconds_a_step <= 1.1 * std::max(0.0, seconds_left)) return s.total;
  return s.step + static_cast<std::int64_t>(std::max(0.0, seconds_left) / seconds_a_step);
}

}  // namespace

training_run::training_run(const options& o, const corpus& text, trainer& learner,
                           double trigram_bits)
    : o_(o), text_(text), learner_(learner), trigram_bits_(trigram_bits) {}

int training_run::run() {
  training_state& s = learner_.state();
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  const std::int64_t measure_every = std::max(1, o_.run.steps / 12);
  start_ = clock::now();
  first_ = s.step;
  if (s.held_out.empty()) measure();
  save_checkpoint();  // at once, so that a folder that cannot be written is known before the work
  while (s.step < s.total && stop_signal == 0) {
    const clock::time_point step_start = clock::now();
    const double loss = learner_.step();
    step_seconds_ += seconds_since(step_start);
    smooth_loss_ = s.step - first_ == 1 ? loss : 0.95 * smooth_loss_ + 0.05 * loss;
    const bool measured = s.step % measure_every == 0 || s.step >= s.total;
    if (measured) {
      measure();
      save_checkpoint();
    }
    if (measured || s.step - first_ == 10) plan_time();
    if (line_.due() || measured) show();
  }
  save_checkpoint();
  line_.end();
  return stop_signal;
}

void training_run::measure() {
  training_state& s = learner_.state();
  s.held_out.push_back({s.step, learner_.held_out_bits()});
}

void training_run::save_checkpoint() const {
  save(o_.out / "checkpoint.bin", o_.run, text_.fingerprint, learner_.state());
}

double training_run::seconds_a_step() const {
  return seconds_since(start_) / static_cast<double>(learner_.state().step - first_);
}

void training_run::plan_time() {
  training_state& s = learner_.state();
  const std::int64_t fits =
      steps_in_time(s, seconds_a_step(), 60 * o_.minutes - seconds_since(start_));
  if (fits >= s.total) return;
  line_.end();
  std::printf("%lld steps instead of %lld fit into --minutes %g on this machine\n",
              static_cast<long long>(fits), static_cast<long long>(s.total), o_.minutes);
  s.total = fits;
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
