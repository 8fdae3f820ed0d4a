#include "on_cuda.cuh"

namespace device_calls {
void add_rg_lru(table& to) { add_formats<gatescan::rg_lru>(to); }
}  // namespace device_calls
