// The command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "model.hpp"

namespace char_lm {

/// What the trained weights depend on, to the last bit. A checkpoint keeps it.
struct run_options {
  std::string recurrence = "gla", mode = "chunked";
  int chunk = 0;  // 0: the library's choice
  int width = 128, depth = 3, heads = 4;
  int context = 256, batch = 8, steps = 450;
  double lr = 4e-3;
  std::uint64_t seed = 1;
  std::vector<std::string> text;  // empty: the licence texts
  std::string backend = "cpu";

  architecture shape() const { return {recurrence, width, depth, heads}; }
};

struct options {
  run_options run;
  std::set<std::string> given;  // names of the run options that the command line names
  int threads = 0;              // 0: all cores
  double minutes = 1.5;         // the most that training takes
  std::filesystem::path out = "char_lm_out";
  bool resume = false, check_gradients = false;
  int sample = 600;
  double temperature = 0.7;
  std::string prompt = "This License ";
  std::shared_ptr<device_calls::device> device;  // where the backend is cuda
  int ranks_a_sequence = 1;

  double seconds_a_timing = 0.2;

  execution how() const {
    return {run.mode, run.chunk, threads, device.get(), nullptr, seconds_a_timing};
  }
};

/// A wrong flag or flag value; main prints it and returns 2.
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws usage_error. Where --help was asked for, prints it and returns false.
bool parse_command_line(int argc, char** argv, options& o);

/// Throws usage_error where so many ranks cannot share sequences as asked.
void check_sharing(const options& o, int ranks);

/// Takes the run options of a checkpoint. Throws usage_error where the command line names another
/// value.
void take_run_options(options& o, const run_options& saved);

}  // namespace char_lm
