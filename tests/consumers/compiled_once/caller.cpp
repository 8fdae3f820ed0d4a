// Calls what gatescan_calls_gla has compiled (gatescan/instantiate.hpp); no_kernels.cmake looks at
// this object.
#include <gatescan/instantiate.hpp>

#include "../halving.hpp"

GATESCAN_EXTERN(gatescan::gla, float);

int main() { return halving_error() < 1e-6f ? 0 : 1; }
