#include "on_cuda.cuh"

namespace device_calls {
void add_gla(table& to) { add_formats<gatescan::gla>(to); }
}  // namespace device_calls
