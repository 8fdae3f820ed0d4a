// The half with exceptions: its errors are thrown, those of the other half go to on_error.
#include "without_exceptions.hpp"

#include <cstdlib>
#include <cstring>

#include "answers.hpp"
#include "wrong_call.hpp"

static void told(const char* message) {
  std::_Exit(std::strstr(message, "x: expected") != nullptr ? 0 : 4);
}

int main() {
  float out[3] = {7, 7, 7};
  if (!right() || !right_without_exceptions()) return 1;
  try {
    wrong_call(out);
    return 2;
  } catch (const gatescan::shape_error&) {
    if (out[0] != 7) return 3;
  }
  fail_without_exceptions(told);
  return 5;  // what cannot be run came back
}
