// char_lm: learns real text with one of several recurrences as time mixing; then streams, checks,
// times and draws.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <utility>

#include "checkpoint.hpp"
#include "device_calls/device.hpp"
#include "eigen.hpp"
#include "gradient_check.hpp"
#include "progress.hpp"
#include "results.hpp"
#include "training_run.hpp"
#include "trigram.hpp"

namespace char_lm {
namespace {

int run(int argc, char** argv) {
  const auto start = std::chrono::steady_clock::now();
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // whole lines, also into a pipe
  options o;
  if (!parse_command_line(argc, argv, o)) return 0;
  Eigen::setNbThreads(1);  // whole shards run in parallel, not single products

  checkpoint resumed;
  if (o.resume && !o.check_gradients) {
    resumed = load(o.out / "checkpoint.bin");
    take_run_options(o, resumed.run);
  }
  if (o.run.backend == "cuda") o.device = device_calls::open_device();
  if (o.check_gradients) return check_gradients(o.device.get()) ? 0 : 1;
  std::vector<std::filesystem::path> files(o.run.text.begin(), o.run.text.end());
  if (files.empty()) files = default_files();
  if (files.empty())
    throw usage_error("no licence texts in /usr/share/common-licenses; name files by --text");
  const corpus text = read_corpus(files);
  std::printf(
      "text: %zu files, %zu bytes to train on, %zu held out in %zu pieces; "
      "%zu dropped that repeat held-out text\n",
      files.size(), text.train.size(), text.held_out.size(), text.pieces(), text.dropped);
  const double trigram_bits = trigram(text).held_out_bits();
  std::printf("trigram of the same training text: %.3f bits/byte on the held-out text\n",
              trigram_bits);

  trainer learner(o.run, text, o.how());
  if (o.resume) {
    if (resumed.text_fingerprint != text.fingerprint)
      throw usage_error("the checkpoint in " + o.out.string() + " was made with another text");
    if (resumed.state.theta.size() != learner.state().theta.size())
      throw usage_error("the checkpoint in " + o.out.string() + " has another number of weights");
    learner.restore(std::move(resumed.state));
  }
  std::filesystem::create_directories(o.out);
  std::printf(
      "model: %s, %d blocks of width %d, %lld weights; %d x %d bytes a step, %s mode, "
      "%d threads%s\n",
      o.run.recurrence.c_str(), o.run.depth, o.run.width,
      static_cast<long long>(learner.state().theta.size()), o.run.batch, o.run.context,
      o.run.mode.c_str(), o.threads,
      o.resume
          ? text_of("; resumed at step %lld", static_cast<long long>(learner.state().step)).c_str()
          : "");

  const int signal = training_run(o, text, learner, trigram_bits).run();
  if (signal != 0) {
    std::printf("stopped at step %lld; the checkpoint is saved, go on with --resume\n",
                static_cast<long long>(learner.state().step));
    return 128 + signal;
  }
  const double bits = learner.state().held_out.back().bits;
  std::printf("\nheld-out bits per byte: %.3f, trigram %.3f: the model is %s by %.3f\n", bits,
              trigram_bits, bits < trigram_bits ? "better" : "worse",
              std::abs(bits - trigram_bits));
  show_results(o, text, learner.state(), trigram_bits);
  std::printf("%.0f seconds in all\n",
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return 0;
}

}  // namespace
}  // namespace char_lm

int main(int argc, char** argv) {
  try {
    return char_lm::run(argc, argv);
  } catch (const char_lm::usage_error& e) {
    std::fprintf(stderr, "char_lm: %s\nchar_lm --help shows the flags\n", e.what());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "char_lm: %s\n", e.what());
  }
  return 2;
}
