// The checkpoint file: 8 bytes of magic, the length of a JSON header, the header (run options,
// step, data position, history), then theta, both moments and the losses as they lie in memory, and
// a checksum of all that. Written beside its final name and renamed, so that a crash never leaves
// half a file.
#pragma once

#include <filesystem>
#include <stdexcept>

#include "options.hpp"
#include "trainer.hpp"

namespace char_lm {

/// The file cannot be read or written, or is not what it should be.
struct checkpoint_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct checkpoint {
  run_options run;
  std::uint64_t text_fingerprint = 0;
  training_state state;
};

void save(const std::filesystem::path& file, const run_options& run, std::uint64_t text_fingerprint,
          const training_state& state);
checkpoint load(const std::filesystem::path& file);

}  // namespace char_lm
