// Asks what a call asks first: 0 if the arithmetic is right, in every rounding mode.
#include <gatescan/core/arithmetic.hpp>

#include <cfenv>
#include <cstdio>

int main() {
  for (const int mode : {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    std::fesetround(mode);
    try {
      gatescan::detail::check_arithmetic();
    } catch (const std::exception& error) {
      std::fputs(error.what(), stderr);
      return 1;
    }
  }
  return 0;
}
