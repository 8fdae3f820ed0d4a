// char_lm: learns real text with one of several recurrences as time mixing; then streams, checks,
// times and draws.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint.hpp"
#include "device_calls/device.hpp"
#include "eigen.hpp"
#include "gradient_check.hpp"
#include "progress.hpp"
#include "ranks.hpp"
#include "results.hpp"
#include "training_run.hpp"
#include "trigram.hpp"

namespace char_lm {
namespace {

constexpr int go_on = -1;

// What ranks have prepared on their own before they train together.
struct session {
  options o;
  checkpoint resumed;
  corpus text;
  double trigram_bits = 0;
  std::unique_ptr<trainer> learner;
};

int read_options(session& s, int argc, char** argv, const ranks* all) {
  options& o = s.o;
  if (!parse_command_line(argc, argv, o)) return 0;
  if (o.resume && !o.check_gradients) {
    s.resumed = load(o.out / "checkpoint.bin");
    take_run_options(o, s.resumed.run);
  }
  check_sharing(o, all != nullptr ? all->count() : 1);
  if (o.run.backend == "cuda") o.device = device_calls::open_device();
  if (o.check_gradients) return check_gradients(o.device.get()) ? 0 : 1;
  return go_on;
}

int prepare(session& s, const ranks* all) {
  options& o = s.o;
  std::vector<std::filesystem::path> files(o.run.text.begin(), o.run.text.end());
  if (files.empty()) files = default_files();
  if (files.empty())
    throw usage_error("no licence texts in /usr/share/common-licenses; name files by --text");
  s.text = read_corpus(files);
  std::printf(
      "text: %zu files, %zu bytes to train on, %zu held out in %zu pieces; "
      "%zu dropped that repeat held-out text\n",
      files.size(), s.text.train.size(), s.text.held_out.size(), s.text.pieces(), s.text.dropped);
  s.trigram_bits = trigram(s.text).held_out_bits();
  std::printf("trigram of the same training text: %.3f bits/byte on the held-out text\n",
              s.trigram_bits);

  s.learner = std::make_unique<trainer>(o.run, s.text, o.how(), all);
  trainer& learner = *s.learner;
  if (o.resume) {
    if (s.resumed.text_fingerprint != s.text.fingerprint)
      throw usage_error("the checkpoint in " + o.out.string() + " was made with another text");
    if (s.resumed.state.theta.size() != learner.state().theta.size())
      throw usage_error("the checkpoint in " + o.out.string() + " has another number of weights");
    learner.restore(std::move(s.resumed.state));
  }
  std::filesystem::create_directories(o.out);
  std::printf(
      "model: %s, %d blocks of width %d, %lld weights; %d x %d bytes a step, %s mode, "
      "%d threads%s%s\n",
      o.run.recurrence.c_str(), o.run.depth, o.run.width,
      static_cast<long long>(learner.state().theta.size()), o.run.batch, o.run.context,
      o.run.mode.c_str(), o.threads,
      all != nullptr
          ? text_of(" on each of %d ranks, %d a sequence", all->count(), all->a_sequence()).c_str()
          : "",
      o.resume
          ? text_of("; resumed at step %lld", static_cast<long long>(learner.state().step)).c_str()
          : "");
  return go_on;
}

int train(session& s, const ranks* all) {
  const options& o = s.o;
  trainer& learner = *s.learner;
  const int signal = training_run(o, s.text, learner, s.trigram_bits, all).run();
  if (signal != 0) {
    std::printf("stopped at step %lld; the checkpoint is saved, go on with --resume\n",
                static_cast<long long>(learner.state().step));
    return 128 + signal;
  }
  if (all != nullptr && all->own() != 0) return 0;
  const double bits = learner.state().held_out.back().bits;
  std::printf("\nheld-out bits per byte: %.3f, trigram %.3f: the model is %s by %.3f\n", bits,
              s.trigram_bits, bits < s.trigram_bits ? "better" : "worse",
              std::abs(bits - s.trigram_bits));
  show_results(o, s.text, learner.state(), s.trigram_bits);
  return 0;
}

// f() on every rank. The first that has failed says why, and all return 2.
template <class F>
int together(const ranks* all, const F& f) {
  int code = go_on;
  std::string why;
  try {
    code = f();
  } catch (const usage_error& e) {
    why = std::string(e.what()) + "\nchar_lm --help shows the flags";
  } catch (const std::exception& e) {
    why = e.what();
  }
  const bool failed = !why.empty();
  const int own = all != nullptr ? all->own() : 0, count = all != nullptr ? all->count() : 1;
  std::int64_t first = failed ? own : count;
  if (all != nullptr) first = -all->largest(-first);
  if (failed && own == first) std::fprintf(stderr, "char_lm: %s\n", why.c_str());
  return first < count ? 2 : code;
}

int run(int argc, char** argv, ranks* all) {
  const auto start = std::chrono::steady_clock::now();
  if (all != nullptr && all->own() != 0 && std::freopen("/dev/null", "w", stdout) == nullptr)
    return 2;                                // the first one speaks for all
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // whole lines, also into a pipe
  Eigen::setNbThreads(1);                    // whole shards run in parallel, not single products
  session s;
  int code = together(all, [&] { return read_options(s, argc, argv, all); });
  if (code != go_on) return code;
  if (all != nullptr) all->share_sequences(s.o.ranks_a_sequence);
  code = together(all, [&] { return prepare(s, all); });
  if (code != go_on) return code;
  code = train(s, all);
  std::printf("%.0f seconds in all\n",
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return code;
}

}  // namespace
}  // namespace char_lm

int main(int argc, char** argv) {
  const std::unique_ptr<char_lm::ranks> all = char_lm::ranks::join(argc, argv);
  try {
    return char_lm::run(argc, argv, all.get());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "char_lm: %s\n", e.what());
  }
  if (all != nullptr) all->abort(2);  // others wait
  return 2;
}
