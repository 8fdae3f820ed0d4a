// What the command line asks for.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace replay {

struct options {
  std::string recurrence;
  std::string mode;
  std::string backend = "cpu";
  std::optional<int> chunk;     // not given: the library's choice
  std::optional<int> segments;  // the same; of a rank's tokens, 1
  int threads = 0;              // 0: all cores
  bool wide = false;
  bool grad = false;
  std::map<std::string, double> switches;  // of the recurrence: those that were given, by name
  std::string in;
  std::string out;
};

}  // namespace replay
