#include "on_cuda.cuh"

namespace device_calls {
void add_aaren(table& to) { add_formats<gatescan::aaren>(to); }
}  // namespace device_calls
