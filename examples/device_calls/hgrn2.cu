#include "on_cuda.cuh"

namespace device_calls {
void add_hgrn2(table& to) { add_formats<gatescan::hgrn2>(to); }
}  // namespace device_calls
