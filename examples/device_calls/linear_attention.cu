#include "on_cuda.cuh"

namespace device_calls {
void add_linear_attention(table& to) { add_formats<gatescan::linear_attention>(to); }
}  // namespace device_calls
