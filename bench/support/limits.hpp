// What the machine can do, measured by this program in this run: what results are held against.
#pragma once

#include <string>

namespace bench {

/// Rates a second on `threads` threads, each measured when it is first asked for.
struct arithmetic_limits {
  double fma_float = 0, fma_double = 0;  // floating-point operations, two a fused multiply-add
  double exp_float = 0, exp_double = 0;  // the library's own exp, on numbers in L1
};
const arithmetic_limits& arithmetic(int threads);

enum class traffic {
  triad,            // c = a + s b, the better of the two below
  triad_ordinary,   // with ordinary stores
  triad_streaming,  // with stores past the caches
  update,           // x = s x, in place: what a state goes through
};

/// Bytes a second, read and written, when all arrays together take `footprint` bytes.
double bandwidth(traffic kind, double footprint, int threads);

/// One line for the benchmark's context.
std::string describe_limits(int threads);

}  // namespace bench
