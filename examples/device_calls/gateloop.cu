#include "on_cuda.cuh"

namespace device_calls {
void add_gateloop(table& to) { add_formats<gatescan::gateloop>(to); }
}  // namespace device_calls
