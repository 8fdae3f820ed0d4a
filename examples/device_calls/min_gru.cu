#include "on_cuda.cuh"

namespace device_calls {
void add_min_gru(table& to) { add_formats<gatescan::min_gru>(to); }
}  // namespace device_calls
