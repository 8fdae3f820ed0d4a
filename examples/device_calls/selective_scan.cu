#include "on_cuda.cuh"

namespace device_calls {
void add_selective_scan(table& to) { add_formats<gatescan::selective_scan>(to); }
}  // namespace device_calls
