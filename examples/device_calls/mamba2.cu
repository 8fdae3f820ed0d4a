#include "on_cuda.cuh"

namespace device_calls {
void add_mamba2(table& to) { add_formats<gatescan::mamba2>(to); }
}  // namespace device_calls
