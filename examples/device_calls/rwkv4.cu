#include "on_cuda.cuh"

namespace device_calls {
void add_rwkv4(table& to) { add_formats<gatescan::rwkv4>(to); }
}  // namespace device_calls
