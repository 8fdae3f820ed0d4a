#include "options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <thread>

#include "options_json.hpp"
#include "progress.hpp"

namespace char_lm {

bool parse_command_line(int argc, char** argv, options& o) {
  CLI::App app{
      "char_lm: trains a byte-level language model whose time mixing is one of gatescan's\n"
      "recurrences, then streams text from it, compares and times the modes, and draws two "
      "pictures.",
      "char_lm"};
  app.option_defaults()->always_capture_default();
  run_options& r = o.run;

  const auto run = [&](const char* name, auto& value, const char* help) {
    return app.add_option(text_of("--%s", name), value, help);
  };
  const CLI::Range positive(1, 1 << 20);
  auto modes = mode_names;
  modes.push_back("automatic");
  run("recurrence", r.recurrence, "Time mixing")
      ->check(CLI::IsMember(recurrence_names))
      ->group("Model");
  run("width", r.width, "Channels of the residual stream")
      ->check(CLI::Range(4, 8192))
      ->group("Model");
  run("depth", r.depth, "Blocks")->check(CLI::Range(1, 256))->group("Model");
  run("heads", r.heads, "Heads; must divide the width")->check(positive)->group("Model");
  run("text", r.text, "Text files (default: the licences in /usr/share/common-licenses)")
      ->group("Training");
  run("mode", r.mode, "How the library computes the recurrence")
      ->check(CLI::IsMember(modes))
      ->group("Training");
  run("chunk", r.chunk, "Chunk size of the chunked mode, 0: the library's choice")
      ->check(CLI::Range(0, 1 << 20))
      ->group("Training");
  run("context", r.context, "Bytes of a training sequence")->check(positive)->group("Training");
  run("batch", r.batch, "Sequences a step")->check(positive)->group("Training");
  run("steps", r.steps, "Optimizer steps")->check(CLI::Range(0, 1 << 30))->group("Training");
  run("lr", r.lr, "Highest learning rate")->check(CLI::PositiveNumber)->group("Training");
  run("seed", r.seed, "Seed of weights and data order")->group("Training");
  app.add_option("--minutes", o.minutes,
                 "Most minutes this run may train: on a slower machine there are fewer steps")
      ->check(CLI::Range(0.01, 1e6))
      ->group("Training");
  app.add_flag("--resume", o.resume, "Go on from the checkpoint in the output folder")
      ->group("Training");
  app.add_option("--threads", o.threads, "Threads, 0: all cores")
      ->check(CLI::Range(0, 4096))
      ->group("Machine");
  app.add_option("--ranks-a-sequence", o.ranks_a_sequence,
                 "Under mpirun: so many ranks share each training sequence, in pieces of time, by "
                 "--mode scan; the others divide the batch")
      ->check(positive)
      ->group("Machine");
  run("backend", r.backend,
      "Where the recurrence of training and measuring is computed; cuda: operands are copied there "
      "and back around each call, all else stays on the cpu")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->group("Machine");
  app.add_option("--out", o.out, "Output folder: checkpoint, sample and pictures")->group("Output");
  app.add_option("--sample", o.sample, "Bytes to generate")
      ->check(CLI::Range(0, 1 << 24))
      ->group("Output");
  app.add_option("--temperature", o.temperature, "Of the generated text; 0: the likeliest byte")
      ->check(CLI::Range(0.0, 100.0))
      ->group("Output");
  app.add_option("--prompt", o.prompt, "Text that the generated text goes on from")
      ->group("Output");
  app.add_option("--seconds-a-timing", o.seconds_a_timing,
                 "Of the table of modes: each is timed so long, two numbers a mode; 0: one call")
      ->check(CLI::Range(0.0, 1e3))
      ->group("Output");
  app.add_flag("--check-gradients", o.check_gradients,
               "Only compare the backward with finite differences on a tiny model")
      ->group("Output");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return false;
  } catch (const CLI::ParseError& e) {
    throw usage_error(e.what());
  }
  if (r.width % r.heads != 0)
    throw usage_error("--heads " + std::to_string(r.heads) + " does not divide --width " +
                      std::to_string(r.width));
  if (o.threads == 0)
    o.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const nlohmann::json names = r;
  for (const auto& entry : names.items())
    if (app.get_option(text_of("--%s", entry.key().c_str()))->count() > 0)
      o.given.insert(entry.key());
  return true;
}

void check_sharing(const options& o, int ranks) {
  const int sharing = o.ranks_a_sequence;
  const auto refuse = [&](const std::string& what) {
    throw usage_error("--ranks-a-sequence " + std::to_string(sharing) + ": " + what);
  };
  if (ranks % sharing != 0)
    refuse("does not divide the " + std::to_string(ranks) + " that mpirun has started");
  if (sharing == 1) return;
  if (o.run.mode != "scan" || o.run.backend != "cpu")
    refuse("only --mode scan on --backend cpu cuts sequences");
  if (o.run.context / sharing < 3) refuse("a rank needs 3 bytes of --context, or more");
}

void take_run_options(options& o, const run_options& saved) {
  const nlohmann::json mine = o.run, theirs = saved;
  for (const std::string& name : o.given)
    if (mine.at(name) != theirs.at(name))
      throw usage_error("--" + name + " " + mine.at(name).dump() + ": the checkpoint in " +
                        o.out.string() + " was made with " + theirs.at(name).dump() +
                        "; leave the flag out, or train anew without --resume");
  o.run = saved;
}

}  // namespace char_lm
