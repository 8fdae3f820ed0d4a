// The half that is compiled with -fno-exceptions: its errors go to on_error.
#include "without_exceptions.hpp"

#include "answers.hpp"
#include "wrong_call.hpp"

bool right_without_exceptions() { return right(); }

void fail_without_exceptions(void (*told)(const char*)) {
  float out[3];
  gatescan::on_error = told;
  wrong_call(out);
}
