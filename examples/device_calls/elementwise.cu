#include "on_cuda.cuh"

namespace device_calls {
void add_elementwise(table& to) { add_formats<gatescan::elementwise>(to); }
}  // namespace device_calls
