// Time against length, on logarithmic axes, as an SVG.
#pragma once

#include <string>
#include <vector>

namespace bench {

struct point {
  double length, seconds;
};
struct curve {
  std::string mode;
  std::vector<point> points;
};

/// Throws std::runtime_error when the file cannot be written.
void draw_lengths(const std::string& file, const std::string& title,
                  const std::vector<curve>& curves);
void write_table(const std::string& file, const std::vector<curve>& curves);

}  // namespace bench
