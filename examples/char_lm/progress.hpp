// The progress line: rewritten in place on a terminal, otherwise a plain line every few seconds.
#pragma once

#include <chrono>
#include <string>

namespace char_lm {

class progress {
 public:
  progress();
  ~progress();

  /// True when it is time to show a line again.
  bool due() const;
  void show(const std::string& line);
  /// Ends the line, so that other text can follow.
  void end();

 private:
  bool terminal_, open_ = false;
  std::chrono::steady_clock::time_point shown_;
};

/// 75.2 -> "1:15"
std::string clock_text(double seconds);

/// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string text_of(const char* format, ...);

}  // namespace char_lm
