#include "on_cuda.cuh"

namespace device_calls {
void add_min_lstm(table& to) { add_formats<gatescan::min_lstm>(to); }
}  // namespace device_calls
