#include "progress.hpp"

#include <unistd.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace char_lm {

progress::progress() : terminal_(isatty(STDOUT_FILENO) == 1) {}

progress::~progress() { end(); }

bool progress::due() const {
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - shown_;
  return since.count() > (terminal_ ? 0.2 : 5.0);
}

void progress::show(const std::string& line) {
  std::printf(terminal_ ? "\r%s\x1b[K" : "%s\n", line.c_str());
  std::fflush(stdout);
  open_ = terminal_;
  shown_ = std::chrono::steady_clock::now();
}

void progress::end() {
  if (open_) std::printf("\n");
  open_ = false;
}

std::string clock_text(double seconds) {
  const auto s = static_cast<long long>(std::llround(seconds));
  return text_of("%lld:%02lld", s / 60, s % 60);
}

std::string text_of(const char* format, ...) {
  char buffer[512];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

}  // namespace char_lm
