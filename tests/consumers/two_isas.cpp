// One program out of two translation units with different instruction sets.
#include "halving.hpp"

float wide_error();

int main() {
  if (!(halving_error() < 1e-6f)) return 1;
  const bool can_run_wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!can_run_wide) return 77;  // the ctest counts it as skipped
  return wide_error() < 1e-6f ? 0 : 2;
}
