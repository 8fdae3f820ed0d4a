#include "on_cuda.cuh"

namespace device_calls {
void add_rwkv6(table& to) { add_formats<gatescan::rwkv6>(to); }
}  // namespace device_calls
