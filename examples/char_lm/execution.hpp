// What the layers say to each other about sequences and modes, without the library's headers: only
// the mixers compile those.
#pragma once

#include <string>
#include <vector>

#include "parameters.hpp"

namespace device_calls {
class device;
}

namespace char_lm {

class ranks;

/// Tokens of `batch` sequences of `time` steps each; row b * time + t of a matrix is token t of b.
struct extent {
  index batch = 1, time = 0;
  index tokens() const { return batch * time; }
};

/// How the library is to compute: the command line's --mode, --chunk, --threads and --backend.
struct execution {
  std::string mode = "chunked";
  int chunk = 0;  // 0: the library's choice
  int threads = 1;
  device_calls::device* device = nullptr;  // null: on the host
  const ranks* sequence = nullptr;         // those that share each sequence; null: nobody
  double seconds_a_timing = 0.2;
};

inline const std::vector<std::string> mode_names = {"recurrent", "scan", "chunked", "attention"};

/// Milliseconds of one mode, and its largest difference from the recurrent mode's output.
struct mode_time {
  std::string mode;
  double forward = 0, forward_and_backward = 0, difference = 0;
};

}  // namespace char_lm
