#include "on_cuda.cuh"

namespace device_calls {
void add_gated_delta_net(table& to) { add_formats<gatescan::gated_delta_net>(to); }
}  // namespace device_calls
