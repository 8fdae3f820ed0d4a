#include "on_cuda.cuh"

namespace device_calls {
void add_rwkv7(table& to) { add_formats<gatescan::rwkv7>(to); }
}  // namespace device_calls
