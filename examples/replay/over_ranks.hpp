// replay as several programs: each reads its piece of the file, and the first writes what all have.
#pragma once

#include <stdexcept>
#include <string>

#include "options.hpp"
#include "ranks.hpp"

namespace replay {

/// What went wrong on some rank, thrown on all of them: with which file, and what.
struct rank_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The file that one program writes; the arithmetic is that of `--mode scan`. No rank holds more
/// than its own tokens. Throws rank_error on all ranks or on none.
void run_over(const ranks& all, const options& asked);

}  // namespace replay
